//! What the build script makes of sources and compilers that are wrong.

use crate::project::Project;

#[test]
fn what_nvcc_says_is_shown() {
    let project = Project::new(&[("add.cu", "broken\n"), ("scale.cu", "kernel scale_f32\n")]);
    let said = project.fail(false);
    assert!(said.contains("kernels/add.cu(3): error: expected a \";\""), "{said}");
    assert!(said.contains("did not compile kernels/add.cu for compute_80"), "{said}");
    assert!(!said.contains("scale"), "{said}");
}

#[test]
fn a_missing_header_is_named_with_who_wants_it() {
    let project = Project::new(&[("add.cu", "// a\n#include \"common/none.cuh\"\n")]);
    let said = project.fail(false);
    assert!(said.contains("kernels/common/none.cuh"), "{said}");
    assert!(said.contains("kernels/add.cu:2"), "{said}");
}

#[test]
fn an_unknown_target_is_named() {
    let project = Project::new(&[("add.cu", "// targets: compute_70\n")]);
    let said = project.fail(false);
    assert!(said.contains("\"compute_70\"") && said.contains("compute_90a"), "{said}");
    project.write("add.cu", "// targets:\n");
    assert!(project.fail(false).contains("names no target"));
}

#[test]
fn a_kernel_is_named_after_its_file() {
    let project = Project::new(&[("add.cu", "kernel scale_forward_f32\n")]);
    assert!(project.fail(false).contains("has a kernel scale_forward_f32"));
}

#[test]
fn parts_of_different_toolkits_are_noticed() {
    let mut project = Project::new(&[("add.cu", "kernel add_forward_f32\n")]);
    project.use_nvcc("13.0.88", "9.5");
    let said = project.fail(false);
    assert!(said.contains("\".version 9.5\"") && said.contains("kernels/nvcc.sh"), "{said}");
}

#[test]
fn a_compiler_that_does_not_run_is_named() {
    let mut project = Project::new(&[("add.cu", "kernel add_forward_f32\n")]);
    project.lose_nvcc();
    let said = project.fail(false);
    assert!(said.contains("cannot run") && said.contains("bin/nvcc"), "{said}");
}
