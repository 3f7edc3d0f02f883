//! Draws scenes and what is said about them: which looks meet in a picture, which of them is
//! referred to, and with how many sentences of which kinds.

use super::phrase::{Kind, Phrase};
use super::scene::{Colour, Look, Object, Scene, Shape, Size};
use crate::rng::{Philox, Reader};

/// The four parts of the data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    Train,
    Val,
    /// Four objects a picture, where all other splits have two or three.
    TestA,
    /// References to the pairs of colour and shape in `HELD_OUT`, which no other split shows.
    TestB,
}

impl Split {
    pub const ALL: [Split; 4] = [Split::Train, Split::Val, Split::TestA, Split::TestB];

    pub fn name(self) -> &'static str {
        match self {
            Split::Train => "train",
            Split::Val => "val",
            Split::TestA => "testA",
            Split::TestB => "testB",
        }
    }
}

/// Pairs seen in `testB` only; each of these colours and shapes is seen apart in training.
const HELD_OUT: [(Colour, Shape); 4] = [
    (Colour::Red, Shape::Triangle),
    (Colour::Green, Shape::Circle),
    (Colour::Blue, Shape::Star),
    (Colour::Yellow, Shape::Square),
];

/// How often a scene is made for a kind of phrase. Sentences come out near 40, 20, 25 and 15 of a
/// hundred, because many scenes allow other kinds as well.
const SCENES: [(Kind, usize); 4] =
    [(Kind::Colour, 49), (Kind::Size, 17), (Kind::Place, 14), (Kind::Relation, 20)];
/// How often a further sentence is of a kind, where the scene allows it.
const SENTENCES: [(Kind, usize); 4] =
    [(Kind::Colour, 60), (Kind::Size, 18), (Kind::Place, 13), (Kind::Relation, 9)];

pub struct Sentence {
    pub text: String,
    pub kind: Kind,
}

pub struct Reference {
    /// Which object of the scene is meant.
    pub object: usize,
    pub sentences: Vec<Sentence>,
}

pub struct Composition {
    pub scene: Scene,
    pub references: Vec<Reference>,
}

/// Scene `index` of a split; it depends on nothing else, so a longer split begins with the shorter.
pub fn compose(seed: u64, split: Split, index: usize) -> Composition {
    let mut reader = Philox::new(seed, stream(split, index, 0)).reader();
    let kind = *chosen(&SCENES, &mut reader);
    loop {
        let looks = looks(split, kind, &mut reader);
        // Looks that are hard to place get many tries: given up at once, they would become rare.
        if let Some(done) = (0..300).find_map(|_| attempt(split, kind, &looks, &mut reader)) {
            return done;
        }
    }
}

/// The random stream of a scene for one purpose, of two.
pub fn stream(split: Split, index: usize, purpose: u64) -> u64 {
    (split as u64) << 48 | (index as u64) << 1 | purpose
}

/// None if the objects found no room, or lie so that no phrase of the kind is clear.
fn attempt(split: Split, kind: Kind, looks: &[Look], reader: &mut Reader) -> Option<Composition> {
    let width = 96 + reader.below(65);
    let height = 96 + reader.below(65);
    if width.max(height) * 3 > width.min(height) * 4 {
        return None;
    }
    let mut shuffled = looks.to_vec();
    reader.shuffle(&mut shuffled);
    let scene = Scene::draw(width, height, &shuffled, reader)?;
    // Where two objects look the same, either may be meant: a phrase decides.
    let object = scene.objects.iter().position(|object| {
        object.look == looks[0] && Phrase::all(&scene, object).iter().any(|p| p.kind() == kind)
    })?;
    let mut references = vec![refer(&scene, object, Some(kind), reader)?];
    if reader.below(2) == 0 {
        let other = (object + 1 + reader.below(looks.len() - 1)) % looks.len();
        if allowed(split, &scene.objects[other]) {
            references.extend(refer(&scene, other, None, reader));
        }
    }
    Some(Composition { scene, references })
}

fn allowed(split: Split, object: &Object) -> bool {
    split != Split::TestB || HELD_OUT.contains(&(object.look.colour, object.look.shape))
}

/// The looks of a scene, the one to refer to first: with a twin that takes a phrase of the kind to
/// tell apart, or for `Colour` with others that share the colour or the shape.
fn looks(split: Split, kind: Kind, reader: &mut Reader) -> Vec<Look> {
    let count = match (split, kind) {
        (Split::TestA, _) => 4,
        (_, Kind::Relation) => 3,
        _ => 2 + reader.below(2),
    };
    let first = match split {
        Split::TestB => {
            let (colour, shape) = HELD_OUT[reader.below(HELD_OUT.len())];
            Look { shape, colour, size: any_size(reader) }
        }
        _ => any_look(split, reader),
    };
    let mut looks = vec![first];
    match kind {
        Kind::Colour => {}
        Kind::Size => looks.push(Look { size: opposite(first.size), ..first }),
        Kind::Place | Kind::Relation => looks.push(Look { size: any_size(reader), ..first }),
    }
    while looks.len() < count {
        let look = beside(first, split, reader);
        if looks.iter().all(|other| (other.colour, other.shape) != (look.colour, look.shape)) {
            looks.push(look);
        }
    }
    looks
}

/// Another look, which shares the shape or the colour of a given one more often than not. Mostly
/// the shape: a small model learns colours within minutes, outlines only much later.
fn beside(first: Look, split: Split, reader: &mut Reader) -> Look {
    loop {
        let other = any_look(split, reader);
        let look = match reader.below(6) {
            0 => Look { colour: first.colour, ..other },
            1..=3 => Look { shape: first.shape, ..other },
            _ => other,
        };
        if split == Split::TestB || !HELD_OUT.contains(&(look.colour, look.shape)) {
            return look;
        }
    }
}

fn any_look(split: Split, reader: &mut Reader) -> Look {
    loop {
        let shape = Shape::ALL[reader.below(Shape::ALL.len())];
        let colour = Colour::ALL[reader.below(Colour::ALL.len())];
        if split == Split::TestB || !HELD_OUT.contains(&(colour, shape)) {
            return Look { shape, colour, size: any_size(reader) };
        }
    }
}

fn any_size(reader: &mut Reader) -> Size {
    if reader.below(5) < 3 { Size::Small } else { Size::Large }
}

fn opposite(size: Size) -> Size {
    match size {
        Size::Small => Size::Large,
        Size::Large => Size::Small,
    }
}

/// A reference of one to three different sentences, the first of the kind given; none if nothing
/// clear can be said of the object.
fn refer(
    scene: &Scene,
    object: usize,
    first: Option<Kind>,
    reader: &mut Reader,
) -> Option<Reference> {
    let phrases = Phrase::all(scene, &scene.objects[object]);
    let said = |kind: Kind| phrases.iter().any(|phrase| phrase.kind() == kind);
    let kinds: Vec<_> = SENTENCES.iter().copied().filter(|(kind, _)| said(*kind)).collect();
    if kinds.is_empty() {
        return None;
    }
    let mut sentences: Vec<Sentence> = Vec::new();
    for i in 0..1 + reader.below(3) {
        let kind = first.filter(|_| i == 0).unwrap_or_else(|| *chosen(&kinds, reader));
        let of_kind = phrases.iter().filter(|phrase| phrase.kind() == kind);
        let weighted: Vec<_> = of_kind.map(|phrase| (*phrase, phrase.weight())).collect();
        let text = chosen(&weighted, reader).say(|count| reader.below(count));
        if sentences.iter().all(|sentence| sentence.text != text) {
            sentences.push(Sentence { text, kind });
        }
    }
    Some(Reference { object, sentences })
}

/// One of several, in proportion to the weights.
fn chosen<'a, T>(weighted: &'a [(T, usize)], reader: &mut Reader) -> &'a T {
    let total = weighted.iter().map(|(_, weight)| weight).sum();
    let mut rest = reader.below(total);
    let mut items = weighted.iter();
    loop {
        let (item, weight) = items.next().expect("the draw is below the sum of the weights");
        if rest < *weight {
            return item;
        }
        rest -= weight;
    }
}
