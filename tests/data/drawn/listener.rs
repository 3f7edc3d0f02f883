//! Understands a phrase by reading its English, and finds what it means among what is seen.

use super::disk::Seen;

/// Small words that carry no meaning once the others are in order.
const FILLERS: [&str; 5] = ["the", "to", "on", "at", "of"];

/// A phrase taken apart: words of the noun, a side, and the noun on the other end of a relation.
#[derive(Debug, PartialEq)]
struct Heard<'a> {
    noun: Vec<&'a str>,
    side: Option<usize>,
    anchor: Option<Vec<&'a str>>,
}

/// 0 left, 1 right, 2 top, 3 bottom.
fn side(word: &str) -> Option<usize> {
    match word {
        "left" | "leftmost" => Some(0),
        "right" | "rightmost" => Some(1),
        "top" | "upper" | "above" | "over" => Some(2),
        "bottom" | "lower" | "below" | "under" => Some(3),
        _ => None,
    }
}

/// A word for a side first or last is a place; between two nouns it is a relation.
fn hear(phrase: &str) -> Heard<'_> {
    let words: Vec<_> = phrase.split(' ').filter(|word| !FILLERS.contains(word)).collect();
    let Some(at) = words.iter().position(|word| side(word).is_some()) else {
        return Heard { noun: words, side: None, anchor: None };
    };
    let (before, after) = (words[..at].to_vec(), words[at + 1..].to_vec());
    let side = side(words[at]);
    match (before.is_empty(), after.is_empty()) {
        (false, false) => Heard { noun: before, side, anchor: Some(after) },
        (true, false) => Heard { noun: after, side, anchor: None },
        (false, true) => Heard { noun: before, side, anchor: None },
        (true, true) => panic!("{phrase:?} names nothing"),
    }
}

fn is_size(word: &str) -> bool {
    matches!(word, "small" | "little" | "large" | "big")
}

fn fits(object: &Seen, word: &str) -> bool {
    match word {
        "shape" | "object" => true,
        "small" | "little" => object.share < 0.1,
        "large" | "big" => object.share > 0.1,
        "circle" | "square" | "triangle" | "star" => object.shape == word,
        "red" | "green" | "blue" | "yellow" | "purple" | "orange" => object.colour == word,
        _ => panic!("{word:?} means nothing to the listener"),
    }
}

fn all<'a>(objects: &'a [Seen], noun: &[&str]) -> Vec<&'a Seen> {
    objects.iter().filter(|object| noun.iter().all(|word| fits(object, word))).collect()
}

/// Share of the picture by which `one` lies further to a side than `other`.
fn ahead(side: usize, one: &Seen, other: &Seen) -> f64 {
    let [x, y] = [0, 1].map(|axis| one.centre[axis] - other.centre[axis]);
    [-x, x, -y, y][side]
}

/// The object meant; an error says why the phrase leaves a doubt.
pub fn find<'a>(objects: &'a [Seen], phrase: &str) -> Result<&'a Seen, String> {
    let heard = hear(phrase);
    let candidates = all(objects, &heard.noun);
    let true_of = |object: &&Seen| match (heard.side, &heard.anchor) {
        (None, _) => Ok(true),
        (Some(side), None) => {
            let others = candidates.iter().filter(|other| other.id != object.id);
            let leads: Vec<f64> = others.map(|other| ahead(side, object, other)).collect();
            clear(leads.into_iter().fold(f64::INFINITY, f64::min), 0.2)
        }
        (Some(side), Some(anchor)) => match all(objects, anchor)[..] {
            [anchor] => clear(ahead(side, object, anchor), 0.15),
            ref anchors => Err(format!("{} anchors", anchors.len())),
        },
    };
    let mut found = Vec::new();
    for object in &candidates {
        if true_of(object)? {
            found.push(*object);
        }
    }
    match found[..] {
        [object] => Ok(object),
        _ => Err(format!("{} objects fit", found.len())),
    }
}

/// A lead of `margin` is one, none is none (masks round centres a little), between lies doubt.
fn clear(lead: f64, margin: f64) -> Result<bool, String> {
    match lead {
        lead if lead >= margin => Ok(true),
        lead if lead <= 0.03 => Ok(false),
        lead => Err(format!("a lead of only {lead:.3}")),
    }
}

/// What part of a phrase the listener could not have done without.
pub fn kind(objects: &[Seen], phrase: &str) -> Option<&'static str> {
    let heard = hear(phrase);
    let doubt = |noun: &[&str]| all(objects, noun).len() > 1;
    let no_size: Vec<_> = heard.noun.iter().copied().filter(|word| !is_size(word)).collect();
    let sized = no_size.len() < heard.noun.len();
    match (heard.side, heard.anchor, sized) {
        (Some(_), Some(_), _) => doubt(&heard.noun).then_some("relation"),
        (Some(_), None, _) => doubt(&heard.noun).then_some("place"),
        (None, _, true) => doubt(&no_size).then_some("size"),
        (None, _, false) => doubt(&[]).then_some("colour"),
    }
}

/// Four objects by hand: the listener finds what a person finds, and doubts where a person does.
#[test]
fn the_listener_understands_and_doubts() {
    let object = |id, shape, colour, share, centre| Seen {
        id,
        shape,
        colour,
        share,
        centre,
        mask: Vec::new(),
    };
    let objects = [
        object(1, "circle", "red", 0.06, [0.2, 0.3]),
        object(2, "circle", "red", 0.18, [0.7, 0.35]),
        object(3, "square", "blue", 0.06, [0.45, 0.3]),
        object(4, "square", "green", 0.06, [0.5, 0.8]),
    ];
    let found = |phrase| find(&objects, phrase).map(|object| object.id).ok();
    assert_eq!(found("the blue square"), Some(3));
    assert_eq!(found("the big red circle"), Some(2));
    assert_eq!(found("the red circle"), None);
    assert_eq!(found("the leftmost circle"), Some(1));
    assert_eq!(found("the circle on the right"), Some(2));
    assert_eq!(found("the upper square"), Some(3));
    assert_eq!(found("the top circle"), None);
    assert_eq!(found("red circle to the left of blue square"), Some(1));
    assert_eq!(found("circle right of the blue square"), Some(2));
    assert_eq!(found("the square under the blue square"), Some(4));
    assert_eq!(found("the shape left of the green square"), None);
    assert_eq!(kind(&objects, "the big circle"), Some("size"));
    assert_eq!(kind(&objects, "the big shape"), Some("size"));
    assert_eq!(kind(&objects, "the left blue square"), None);
    assert_eq!(kind(&objects, "circle left of blue square"), Some("relation"));
}
