//! Model folders that are wrong: the file and the tensor or key are named, nothing is written.

use std::fs;

use super::run;
use crate::fixture::{Folder, SEED, Tensor, WORDS, config, save_tensors, tensors};

/// Asserts that a folder changed by `change` is refused with `code` and each of `said`.
fn refused(code: i32, said: &[&str], change: impl FnOnce(&Folder)) {
    let folder = Folder::new();
    folder.picture("a.png", 20, 30);
    change(&folder);
    run(&folder, &["--out", "out", "a.png", "left"]).refused(code, said);
    let out = folder.path("out");
    assert!(!out.exists() || folder.names("out").is_empty(), "{:?}", folder.names("out"));
}

fn with_tensors(change: impl FnOnce(&mut Vec<Tensor>)) -> impl FnOnce(&Folder) {
    |folder| {
        let mut tensors = tensors(SEED);
        change(&mut tensors);
        save_tensors(&folder.path("model"), &tensors);
    }
}

fn find<'a>(tensors: &'a mut [Tensor], name: &str) -> &'a mut Tensor {
    tensors.iter_mut().find(|tensor| tensor.0 == name).expect("a tensor")
}

fn rewrite(name: &'static str, change: impl FnOnce(Vec<u8>) -> Vec<u8>) -> impl FnOnce(&Folder) {
    move |folder| {
        let path = folder.path("model").join(name);
        let bytes = fs::read(&path).expect("read");
        fs::write(path, change(bytes)).expect("written");
    }
}

fn replaced(bytes: Vec<u8>, from: &str, to: &str) -> Vec<u8> {
    let text = String::from_utf8(bytes).expect("text");
    assert!(text.contains(from), "{text}");
    text.replace(from, to).into_bytes()
}

#[test]
fn a_folder_or_file_that_is_not_there() {
    let folder = Folder::new();
    folder.picture("a.png", 20, 30);
    run(&folder, &["a.png", "left"]).lines(0);
    refused(3, &["model: no such folder"], |f| fs::remove_dir_all(f.path("model")).expect("gone"));
    refused(3, &["model: no such folder"], |f| {
        fs::remove_dir_all(f.path("model")).expect("gone");
        fs::write(f.path("model"), b"a file").expect("written");
    });
    for name in ["config.json", "model.safetensors"] {
        let said = format!("model/{name}: reading failed: No such file");
        refused(3, &[&said], |f| fs::remove_file(f.path("model").join(name)).expect("gone"));
    }
    refused(3, &["model: has neither tokenizer.json nor vocab.txt"], |f| {
        fs::remove_file(f.path("model/vocab.txt")).expect("gone");
    });
}

#[test]
fn a_wrong_configuration() {
    refused(3, &["model/config.json: unknown field `qeries`", "line "], |f| {
        rewrite("config.json", |text| replaced(text, "\"queries\"", "\"qeries\""))(f);
    });
    refused(3, &["model/config.json", "EOF"], |f| {
        rewrite("config.json", |text| text[..text.len() / 2].to_vec())(f);
    });
    refused(3, &["model/config.json", "image_size is 63"], |f| {
        rewrite("config.json", |text| replaced(text, "\"image_size\": 64", "\"image_size\": 63"))(
            f,
        );
    });
    // Weights of such a width would be larger than any memory: they are not made room for.
    refused(3, &["model/model.safetensors", "visual.patch_embed.proj.weight", "[4096,"], |f| {
        rewrite("config.json", |text| replaced(text, "\"swin_width\": 8", "\"swin_width\": 4096"))(
            f,
        );
    });
    refused(3, &["model/model.safetensors", "query.conv.weight", "[3,", "[4,"], |f| {
        rewrite("config.json", |text| replaced(text, "\"queries\": 3", "\"queries\": 4"))(f);
    });
}

#[test]
fn wrong_weights() {
    const FILE: &str = "model/model.safetensors";
    let cut = "not a whole safetensors file";
    for part in [3, 2] {
        refused(3, &[FILE, cut], |f| {
            rewrite("model.safetensors", |bytes| bytes[..bytes.len() / part * (part - 1)].to_vec())(
                f,
            )
        });
    }
    refused(3, &[FILE, cut], |f| rewrite("model.safetensors", |_| Vec::new())(f));
    refused(3, &[FILE, "tensor head.bias is missing"], |f| {
        with_tensors(|tensors| tensors.retain(|tensor| tensor.0 != "head.bias"))(f);
    });
    refused(3, &[FILE, "tensor neck.v4.bias is [17], expected [16]"], |f| {
        with_tensors(|tensors| {
            let (_, extents, numbers) = find(tensors, "neck.v4.bias");
            *extents = vec![17];
            numbers.push(0.0);
        })(f);
    });
    refused(3, &[FILE, "tensor neck.v5.bias belongs to no CRFormer"], |f| {
        with_tensors(|tensors| tensors.push(("neck.v5.bias".to_owned(), vec![1], vec![0.0])))(f);
    });
}

/// Two names of one length, the second made the first: the rest of the file stays as it was.
#[test]
fn a_tensor_that_is_there_twice() {
    refused(3, &["model/model.safetensors", "query.conv.bias is there twice"], |f| {
        rewrite("model.safetensors", |mut bytes| {
            let name = b"\"query.word.bias\"";
            let at = bytes.windows(name.len()).position(|part| part == name).expect("the name");
            bytes[at..at + name.len()].copy_from_slice(b"\"query.conv.bias\"");
            bytes
        })(f);
    });
}

#[test]
fn weights_that_are_no_numbers() {
    refused(5, &["a.png", "logit", "are the weights sound?"], |f| {
        with_tensors(|tensors| find(tensors, "head.bias").2[1] = f64::NAN)(f);
    });
}

#[test]
fn a_vocabulary_that_is_larger_than_the_models() {
    let said = ["model: its tokenizer has ids up to 9", "vocab_size 9"];
    refused(3, &said, |f| rewrite("vocab.txt", |text| [&text[..], b"square\n"].concat())(f));
    refused(3, &["model/vocab.txt", "twice"], |f| {
        rewrite("vocab.txt", |text| replaced(text, "circle", "red"))(f);
    });
    assert_eq!(WORDS.len(), config().vocab_size);
}
