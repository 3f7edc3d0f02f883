//! From a preset, a file and overrides to settings: each layer covers the one below, and every key
//! must be known.

use std::path::Path;

use toml::{Table, Value};

use super::settings::{FREE, Settings};
use super::suggestion::suggestion;
use crate::error::{Error, Result};

/// The presets: their names, what they are, and their text.
pub const PRESETS: [(&str, &str); 3] = [
    ("paper", include_str!("presets/paper.toml")),
    ("lineage", include_str!("presets/lineage.toml")),
    ("demo", include_str!("presets/demo.toml")),
];

/// What the overrides cover.
#[derive(Clone, Copy, Debug)]
pub enum Base<'a> {
    Preset(&'a str),
    /// A file, which may name a `preset` that it covers; else it must have every key.
    File(&'a Path),
}

/// The commented text of a preset.
pub fn preset(name: &str) -> Result<&'static str> {
    let found = PRESETS.iter().find(|(known, _)| *known == name);
    found.map(|(_, text)| *text).ok_or_else(|| {
        let names: Vec<&str> = PRESETS.iter().map(|(name, _)| *name).collect();
        Error::usage(format!("no preset {name:?}; there are {}", names.join(", ")))
    })
}

/// Puts the layers together. An override is `section.key=value`; its value is read as TOML, or as a
/// string where that fails or a string is wanted.
pub fn resolve(base: Base, overrides: &[String]) -> Result<Settings> {
    let (mut table, place) = match base {
        Base::Preset(name) => (preset_table(name)?, format!("preset {name}")),
        Base::File(path) => (file_table(path)?, path.display().to_string()),
    };
    let place = match overrides.is_empty() {
        true => place,
        false => format!("{place} with -o"),
    };
    for text in overrides {
        override_with(&mut table, text).map_err(|e| e.at(format!("-o {text}")))?;
    }
    let settings: Settings =
        table.try_into().map_err(|e| Error::usage(format!("{place}: {}", one_line(&e))))?;
    settings.check().map_err(|e| e.at(place))?;
    Ok(settings)
}

/// Reads a complete file, such as the `config.toml` of a run.
pub fn read(path: &Path) -> Result<Settings> {
    resolve(Base::File(path), &[])
}

/// The keys that matter for what is learnt and that differ, with both values.
pub fn differences(here: &Settings, there: &Settings) -> Vec<(String, String, String)> {
    let [here, there] = [flat(here), flat(there)];
    let free = |key: &str| FREE.iter().any(|f| key == *f || f.ends_with('.') && key.starts_with(f));
    let pairs = here.into_iter().zip(there);
    let differ = pairs.filter(|((key, here), (_, there))| here != there && !free(key));
    differ.map(|((key, here), (_, there))| (key, here, there)).collect()
}

fn preset_table(name: &str) -> Result<Table> {
    let text = preset(name)?;
    text.parse().map_err(|e| Error::usage(format!("preset {name}: {}", one_line(&e))))
}

/// Every known key with a value of its type; all presets have the same keys.
fn schema() -> Result<Table> {
    preset_table("demo")
}

fn file_table(path: &Path) -> Result<Table> {
    let text = std::fs::read_to_string(path).map_err(|e| Error::io(path, "reading", e))?;
    let mut file: Table = text.parse().map_err(|e| Error::data(path, format!("{e}")))?;
    let at_file = |e: Error| Error::data(path, e);
    let below = match file.remove("preset") {
        Some(Value::String(name)) => Some(preset_table(&name).map_err(at_file)?),
        Some(other) => {
            let message = format!("preset is the name of one, found {}", other.type_str());
            return Err(Error::data(path, message));
        }
        None => None,
    };
    let mut known = below.clone().map_or_else(schema, Ok)?;
    cover(&mut known, &file, "").map_err(at_file)?;
    if below.is_none()
        && let Some(key) = first_missing(&known, &file, "")
    {
        let message = format!(
            "the key {key} is missing; name it, or put a line such as preset = \"lineage\" at the \
             top, whose values count where the file has none"
        );
        return Err(Error::data(path, message));
    }
    Ok(known)
}

/// Puts the values of `over` into `known`, whose keys and types are the known ones.
fn cover(known: &mut Table, over: &Table, section: &str) -> Result<()> {
    for (key, value) in over {
        let full = joined(section, key);
        let Some(slot) = known.get_mut(key) else { return Err(unknown(&full)) };
        match (slot, value) {
            (Value::Table(known), Value::Table(over)) => cover(known, over, &full)?,
            (slot, value) => *slot = of_type(slot, value.clone(), &full)?,
        }
    }
    Ok(())
}

fn override_with(table: &mut Table, text: &str) -> Result<()> {
    let Some((key, right)) = text.split_once('=') else {
        return Err(Error::usage("expected section.key=value"));
    };
    let (key, right) = (key.trim(), right.trim());
    let (sections, last) = key.rsplit_once('.').unwrap_or(("", key));
    let mut place = &mut *table;
    for section in sections.split('.').filter(|s| !s.is_empty()) {
        place = match place.get_mut(section) {
            Some(Value::Table(inner)) => inner,
            _ => return Err(unknown(key)),
        };
    }
    let Some(slot) = place.get_mut(last) else { return Err(unknown(key)) };
    let parsed = format!("x = {right}").parse::<Table>().ok().and_then(|mut t| t.remove("x"));
    let value = match (&*slot, parsed) {
        (Value::String(_), Some(text @ Value::String(_))) => text,
        (Value::String(_), _) | (_, None) => Value::String(right.to_owned()),
        (_, Some(value)) => value,
    };
    *slot = of_type(slot, value, key)?;
    Ok(())
}

/// `value` if it is what `known` is; a whole number serves as a float.
fn of_type(known: &Value, value: Value, key: &str) -> Result<Value> {
    match (known, value) {
        (Value::Float(_), Value::Integer(whole)) => Ok(Value::Float(whole as f64)),
        (known, value) if known.same_type(&value) => Ok(value),
        (known, value) => {
            let (expected, found) = (known.type_str(), value.type_str());
            Err(Error::usage(format!("{key}: expected {expected}, found {found} ({value})")))
        }
    }
}

fn unknown(key: &str) -> Error {
    let known = schema().map(|table| keys(&table, "")).unwrap_or_default();
    let advice = match suggestion(key, &known) {
        Some(close) => format!("did you mean {close}?"),
        None => "crformer-train config --preset lineage lists all keys".to_owned(),
    };
    Error::usage(format!("unknown key {key}; {advice}"))
}

fn joined(section: &str, key: &str) -> String {
    if section.is_empty() { key.to_owned() } else { format!("{section}.{key}") }
}

fn keys(table: &Table, section: &str) -> Vec<String> {
    let inner = table.iter().flat_map(|(key, value)| match value {
        Value::Table(inner) => keys(inner, &joined(section, key)),
        _ => vec![joined(section, key)],
    });
    inner.collect()
}

fn first_missing(known: &Table, file: &Table, section: &str) -> Option<String> {
    known.iter().find_map(|(key, value)| match (value, file.get(key)) {
        (_, None) => Some(joined(section, key)),
        (Value::Table(known), Some(Value::Table(file))) => {
            first_missing(known, file, &joined(section, key))
        }
        _ => None,
    })
}

/// Keys and values in the order of the struct, as they stand in a file.
fn flat(settings: &Settings) -> Vec<(String, String)> {
    fn walk(value: &Value, key: &str, out: &mut Vec<(String, String)>) {
        match value {
            Value::Table(table) => table.iter().for_each(|(k, v)| walk(v, &joined(key, k), out)),
            other => out.push((key.to_owned(), other.to_string())),
        }
    }
    let mut out = Vec::new();
    if let Ok(value) = Value::try_from(settings) {
        walk(&value, "", &mut out);
    }
    out
}

fn one_line(error: &toml::de::Error) -> String {
    error.to_string().trim_end().replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_resolves_and_has_the_same_keys() {
        let schema = keys(&schema().expect("a table"), "");
        for (name, _) in PRESETS {
            resolve(Base::Preset(name), &[]).expect(name);
            assert_eq!(keys(&preset_table(name).expect(name), ""), schema, "{name}");
        }
    }

    #[test]
    fn a_resolved_file_gives_the_same_settings_again() {
        for (name, _) in PRESETS {
            let settings = resolve(Base::Preset(name), &[]).expect(name);
            let text = toml::to_string(&settings).expect("TOML");
            let folder = tempfile::tempdir().expect("a folder");
            let path = folder.path().join("config.toml");
            std::fs::write(&path, text).expect("written");
            assert_eq!(read(&path).expect(name), settings);
        }
    }
}
