//! Weights under every public naming arrive at the same places.

use std::path::Path;

use crformer::exec::cpu::CpuSession;
use crformer::exec::{Session, Slot, ValuesMut};
use crformer::model::pretrained::{load_bert, load_swin};
use crformer::model::{Build, Config, Crformer};
use crformer::weights::save::{Entry, save};

fn config() -> Config {
    Config {
        image_size: 64,
        text_layers: 2,
        text_width: 8,
        text_heads: 2,
        text_hidden: 12,
        vocab_size: 20,
        text_positions: 24,
        swin_width: 4,
        swin_depths: [1, 2, 1, 1],
        swin_heads: [1, 2, 2, 4],
        swin_window: 4,
        width: 8,
        decoder_heads: 2,
        decoder_hidden: 8,
        ..Config::default()
    }
}

fn session() -> CpuSession<f32> {
    let model = Crformer::new(&config(), Build::inference(1)).expect("a graph");
    CpuSession::new(model.graph, None, 0)
}

/// A number that tells which element of which of our tensors it is.
fn number(name: &str, i: usize) -> f64 {
    let letters: u32 = name.bytes().fold(7, |sum, b| sum * 31 % 9973 + u32::from(b));
    f64::from(letters) + i as f64 / 1024.0
}

/// One of our tensors under another name; a part of its rows if the other naming splits it.
struct Renamed {
    ours: String,
    theirs: String,
    /// Part `.0` of `.1`.
    part: (usize, usize),
}

/// Writes a file of the renamed tensors with recognisable numbers, among others to be ignored.
fn write(path: &Path, session: &CpuSession<f32>, renamed: &[Renamed]) {
    let mut entries = vec![Entry::new("head.fc.weight", &[3, 2], false)];
    for Renamed { ours, theirs, part } in renamed {
        let id = session.graph().find(ours).unwrap_or_else(|| panic!("no {ours}"));
        let mut extents = session.graph().shape(id).extents().to_vec();
        extents[0] /= part.1;
        entries.push(Entry::new(theirs, &extents, false));
    }
    save(path, &[], &entries, |i, room| {
        if let Some(Renamed { ours, part, .. }) = i.checked_sub(1).map(|i| &renamed[i]) {
            let first = part.0 * room.len();
            room.iter_mut().enumerate().for_each(|(k, x)| *x = number(ours, first + k));
        }
        Ok(())
    })
    .expect("saved");
}

fn check(session: &CpuSession<f32>, prefix: &str, except: &[&str]) {
    let mut checked = 0;
    for (id, tensor) in session.graph().parameters() {
        let name = tensor.name.as_str();
        if !name.starts_with(prefix) || except.iter().any(|e| name.starts_with(e)) {
            continue;
        }
        let mut got = vec![0f32; tensor.of.shape.len()];
        session.read(id, Slot::Value, ValuesMut::F32(&mut got)).expect("a parameter");
        for (i, got) in got.into_iter().enumerate() {
            assert_eq!(got, number(name, i) as f32, "{name} at {i}");
        }
        checked += 1;
    }
    assert!(checked > 20, "only {checked} tensors were checked");
}

/// Our names below `prefix`, changed by `rename` and split by `split`.
fn renamed(
    session: &CpuSession<f32>,
    prefix: &str,
    rename: impl Fn(&str) -> Vec<String>,
) -> Vec<Renamed> {
    let ours = session.graph().parameters().map(|(_, t)| t.name.clone());
    let ours: Vec<String> = ours.filter(|name| name.starts_with(prefix)).collect();
    let parts = ours.iter().flat_map(|name| {
        let theirs = rename(&name[prefix.len()..]);
        let count = theirs.len();
        theirs.into_iter().enumerate().map(move |(i, theirs)| Renamed {
            ours: name.clone(),
            theirs,
            part: (i, count),
        })
    });
    parts.collect()
}

fn swin_round_trip(rename: impl Fn(&str) -> Vec<String>) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("swin.safetensors");
    let mut session = session();
    write(&path, &session, &renamed(&session, "visual.", rename));
    load_swin(&mut session, &config(), &path).expect("loaded");
    check(&session, "visual.", &[]);
}

/// `stages.s.merge.` as `layers.<at>.downsample.`, where `at` is `s` plus `offset`.
fn downsample(name: &str, offset: isize) -> String {
    (1..4).fold(name.to_owned(), |name, stage: isize| {
        let theirs = format!("layers.{}.downsample.", stage + offset);
        name.replace(&format!("stages.{stage}.merge."), &theirs)
    })
}

#[test]
fn swin_as_microsoft_names_it() {
    swin_round_trip(|name| {
        let name = downsample(name, -1).replace("stages.", "layers.");
        vec![name.replace("relative_position_bias.weight", "relative_position_bias_table")]
    });
}

#[test]
fn swin_as_timm_names_it() {
    swin_round_trip(|name| {
        let name = downsample(name, 0).replace("stages.", "layers.");
        vec![name.replace("relative_position_bias.weight", "relative_position_bias_table")]
    });
}

#[test]
fn swin_inside_another_model() {
    swin_round_trip(|name| {
        let name = downsample(name, -1).replace("stages.", "layers.");
        let name = name.replace("relative_position_bias.weight", "relative_position_bias_table");
        vec![format!("backbone.{name}")]
    });
}

#[test]
fn swin_as_hugging_face_names_it() {
    for new in [false, true] {
        swin_round_trip(|name| {
            let name = downsample(name, -1).replace("stages.", "layers.");
            let table = match new {
                false => "attention.self.relative_position_bias_table",
                true => "attention.relative_position_bias.relative_position_bias_table",
            };
            let (proj, fc1, fc2) = match new {
                false => ("attention.output.dense", "intermediate.dense", "output.dense"),
                true => ("attention.o_proj", "mlp.fc1", "mlp.fc2"),
            };
            let name = name
                .replace("patch_embed.proj", "embeddings.patch_embeddings.projection")
                .replace("patch_embed.norm", "embeddings.norm")
                .replace("attn.relative_position_bias.weight", table)
                .replace("attn.proj", proj)
                .replace("norm1", "layernorm_before")
                .replace("norm2", "layernorm_after")
                .replace("mlp.fc1", fc1)
                .replace("mlp.fc2", fc2)
                .replace("layers.", "encoder.layers.");
            let parts: [&str; 3] = match new {
                false => ["attention.self.query", "attention.self.key", "attention.self.value"],
                true => ["attention.q_proj", "attention.k_proj", "attention.v_proj"],
            };
            match name.contains("attn.qkv") {
                true => parts.map(|p| format!("swin.{}", name.replace("attn.qkv", p))).to_vec(),
                false => vec![format!("swin.{name}")],
            }
        });
    }
}

#[test]
fn bert_as_hugging_face_names_it() {
    for (prefix, legacy) in [("bert.", true), ("", false)] {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("bert.safetensors");
        let mut session = session();
        let ours = renamed(&session, "text.", |name| {
            let (weight, bias) = if legacy { ("gamma", "beta") } else { ("weight", "bias") };
            let norm = |name: String| match name.contains("LayerNorm") {
                true => name.replace("weight", weight).replace("bias", bias),
                false => name,
            };
            let name = name
                .replace("embeddings.word.", "embeddings.word_embeddings.")
                .replace("embeddings.position.", "embeddings.position_embeddings.")
                .replace("embeddings.token_type.", "embeddings.token_type_embeddings.")
                .replace("embeddings.norm", "embeddings.LayerNorm")
                .replace("attn_norm", "attention.output.LayerNorm")
                .replace("mlp_norm", "output.LayerNorm")
                .replace("attn.proj", "attention.output.dense")
                .replace("mlp.fc1", "intermediate.dense")
                .replace("mlp.fc2", "output.dense")
                .replace("layers.", "encoder.layer.");
            let parts = ["query", "key", "value"].map(|p| format!("attention.self.{p}"));
            match name.contains("attn.qkv") {
                true => parts.map(|p| format!("{prefix}{}", name.replace("attn.qkv", &p))).to_vec(),
                false => vec![format!("{prefix}{}", norm(name))],
            }
        });
        write(&path, &session, &ours);
        load_bert(&mut session, &config(), &path).expect("loaded");
        check(&session, "text.", &["text.proj", "text.global_proj"]);
    }
}

#[test]
fn weights_of_another_size_are_refused_with_both_sizes() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("swin.safetensors");
    let mut session = session();
    let ours = renamed(&session, "visual.", |name| {
        let name = downsample(name, -1).replace("stages.", "layers.");
        vec![name.replace("relative_position_bias.weight", "relative_position_bias_table")]
    });
    write(&path, &session, &ours);
    let wide = Config { swin_width: 8, ..config() };
    let model = Crformer::new(&wide, Build::inference(1)).expect("a graph");
    let mut other = CpuSession::<f32>::new(model.graph, None, 0);
    let error = load_swin(&mut other, &wide, &path).expect_err("another size").to_string();
    assert!(error.contains("swin.safetensors") && error.contains('['), "{error}");
    let error = load_bert(&mut session, &config(), &path).expect_err("no BERT").to_string();
    assert!(error.contains("no BERT weights"), "{error}");
}
