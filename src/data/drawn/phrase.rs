//! What can be said about an object, what it means, and whether it means that object alone.

use super::scene::{Colour, Look, Object, Scene, Shape, Size};

/// Words in the longest phrase: with `[CLS]` and `[SEP]` it fills ten tokens.
const LONGEST: usize = 8;

/// A place counts as different when centres differ by this share of the picture's side.
const PLACE_MARGIN: f64 = 0.25;
/// One object counts as beside another when their centres differ by this share of the side.
const RELATION_MARGIN: f64 = 0.2;

/// What a listener needs to find the object, written beside each sentence. Without that part the
/// phrase would fit two objects or more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Colour and shape, or one of them.
    Colour,
    Size,
    Place,
    Relation,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Kind::Colour => "colour",
            Kind::Size => "size",
            Kind::Place => "place",
            Kind::Relation => "relation",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Left,
    Right,
    Top,
    Bottom,
}

impl Side {
    const ALL: [Side; 4] = [Side::Left, Side::Right, Side::Top, Side::Bottom];

    /// How far towards the side a centre lies, 0 at the opposite edge and 1 at this one.
    fn reach(self, scene: &Scene, object: &Object) -> f64 {
        let [x, y] = object.centre;
        let [x, y] = [x / scene.width as f64, y / scene.height as f64];
        match self {
            Side::Left => 1.0 - x,
            Side::Right => x,
            Side::Top => 1.0 - y,
            Side::Bottom => y,
        }
    }

    /// Whether the way from one object to another leads mostly along this side's axis.
    fn leads(self, from: &Object, to: &Object) -> bool {
        let [x, y] = [0, 1].map(|axis| (from.centre[axis] - to.centre[axis]).abs());
        if matches!(self, Side::Left | Side::Right) { x >= y } else { y >= x }
    }

    fn place_wordings(self) -> &'static [&'static str] {
        match self {
            Side::Left => &["the {} on the left", "the leftmost {}", "the left {}", "left {}"],
            Side::Right => &["the {} on the right", "the rightmost {}", "the right {}", "right {}"],
            Side::Top => &["the {} at the top", "the top {}", "the upper {}", "top {}"],
            Side::Bottom => &["the {} at the bottom", "the bottom {}", "the lower {}", "bottom {}"],
        }
    }

    fn relation_wordings(self) -> &'static [&'static str] {
        match self {
            Side::Left => &["the {} left of the {}", "{} left of {}", "{} to the left of {}"],
            Side::Right => &["the {} right of the {}", "{} right of {}", "{} to the right of {}"],
            Side::Top => &["the {} above the {}", "{} above {}", "the {} over the {}"],
            Side::Bottom => &["the {} below the {}", "{} below {}", "the {} under the {}"],
        }
    }
}

const BARE_WORDINGS: &[&str] = &["the {}", "{}"];
const NO_SHAPE: &[&str] = &["shape", "object"];

fn size_words(size: Size) -> &'static [&'static str] {
    match size {
        Size::Small => &["small", "little"],
        Size::Large => &["large", "big"],
    }
}

/// "small red circle", or less of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Noun {
    size: Option<Size>,
    colour: Option<Colour>,
    shape: Option<Shape>,
}

impl Noun {
    /// The eight ways to name a look, from saying nothing of it to saying everything.
    fn of(look: Look) -> impl Iterator<Item = Noun> {
        (0..8).map(move |said| Noun {
            size: (said & 1 != 0).then_some(look.size),
            colour: (said & 2 != 0).then_some(look.colour),
            shape: (said & 4 != 0).then_some(look.shape),
        })
    }

    fn fits(&self, object: &Object) -> bool {
        self.size.is_none_or(|size| size == object.look.size)
            && self.colour.is_none_or(|colour| colour == object.look.colour)
            && self.shape.is_none_or(|shape| shape == object.look.shape)
    }

    fn fitting<'a>(&self, scene: &'a Scene) -> Vec<&'a Object> {
        scene.objects.iter().filter(|object| self.fits(object)).collect()
    }

    fn words(&self) -> usize {
        1 + usize::from(self.size.is_some()) + usize::from(self.colour.is_some())
    }

    fn say(&self, choose: &mut impl FnMut(usize) -> usize) -> String {
        let mut pick = |words: &'static [&'static str]| words[choose(words.len())];
        let size = self.size.map(|size| pick(size_words(size)));
        let shape = self.shape.map_or_else(|| pick(NO_SHAPE), Shape::name);
        let words = [size, self.colour.map(Colour::name), Some(shape)];
        words.into_iter().flatten().collect::<Vec<_>>().join(" ")
    }

    /// People mostly say colour and shape, and both more often than one.
    fn weight(&self) -> usize {
        match (self.colour, self.shape) {
            (Some(_), Some(_)) => 6,
            (None, None) => 1,
            _ => 2,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Clause {
    Bare,
    Place(Side),
    Relation(Side, Noun),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Phrase {
    noun: Noun,
    clause: Clause,
}

/// Whether a phrase is true of an object; what people might disagree about is `Unclear`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Yes,
    No,
    Unclear,
}

impl Phrase {
    /// Every phrase that means exactly this object of the scene and says nothing idle for its kind.
    pub fn all(scene: &Scene, target: &Object) -> Vec<Phrase> {
        let mut clauses = vec![Clause::Bare];
        clauses.extend(Side::ALL.map(Clause::Place));
        for anchor in scene.objects.iter().filter(|object| *object != target) {
            for noun in Noun::of(anchor.look).filter(|noun| noun.size.is_none()) {
                clauses.extend(Side::ALL.map(|side| Clause::Relation(side, noun)));
            }
        }
        let with = |noun| clauses.iter().map(move |&clause| Phrase { noun, clause });
        Noun::of(target.look)
            .flat_map(with)
            .filter(|phrase| phrase.means(scene, target) && phrase.needs_its_kind(scene))
            .collect()
    }

    pub fn kind(&self) -> Kind {
        match self.clause {
            Clause::Relation(..) => Kind::Relation,
            Clause::Place(_) => Kind::Place,
            Clause::Bare if self.noun.size.is_some() => Kind::Size,
            Clause::Bare => Kind::Colour,
        }
    }

    /// True of the target and clearly untrue of every other object.
    fn means(&self, scene: &Scene, target: &Object) -> bool {
        let wanted = |object: &Object| if object == target { Verdict::Yes } else { Verdict::No };
        let fitting = self.noun.fitting(scene);
        fitting.contains(&target)
            && fitting.iter().all(|object| self.verdict(scene, &fitting, object) == wanted(object))
    }

    fn verdict(&self, scene: &Scene, fitting: &[&Object], object: &Object) -> Verdict {
        match &self.clause {
            Clause::Bare => Verdict::Yes,
            Clause::Place(side) => place_verdict(scene, *side, fitting, object),
            Clause::Relation(side, noun) => match noun.fitting(scene)[..] {
                [anchor] => relation_verdict(scene, *side, anchor, object),
                _ => Verdict::Unclear,
            },
        }
    }

    fn needs_its_kind(&self, scene: &Scene) -> bool {
        let without = match self.kind() {
            Kind::Colour => Noun { size: None, colour: None, shape: None },
            Kind::Size => Noun { size: None, ..self.noun },
            Kind::Place | Kind::Relation => self.noun,
        };
        without.fitting(scene).len() > 1
    }

    /// How often the phrase is to be chosen among others of its kind.
    pub fn weight(&self) -> usize {
        let idle_size = self.noun.size.is_some() && self.kind() != Kind::Size;
        let anchor = match self.clause {
            Clause::Relation(_, noun) => noun.weight(),
            _ => 1,
        };
        self.noun.weight() * anchor * if idle_size { 1 } else { 8 }
    }

    /// The phrase in English, lower case, `LONGEST` words at most; `choose(n)` picks one of `n`
    /// wordings.
    pub fn say(&self, mut choose: impl FnMut(usize) -> usize) -> String {
        let (wordings, anchor) = match self.clause {
            Clause::Bare => (BARE_WORDINGS, None),
            Clause::Place(side) => (side.place_wordings(), None),
            Clause::Relation(side, noun) => (side.relation_wordings(), Some(noun)),
        };
        let named = self.noun.words() + anchor.map_or(0, |noun| noun.words());
        let free = |wording: &str| wording.split(' ').filter(|word| *word != "{}").count();
        let short = wordings.iter().filter(|wording| free(wording) + named <= LONGEST);
        let short: Vec<&str> = short.copied().collect();
        let text = short[choose(short.len())].replacen("{}", &self.noun.say(&mut choose), 1);
        match anchor {
            Some(noun) => text.replacen("{}", &noun.say(&mut choose), 1),
            None => text,
        }
    }
}

/// On the left: left of the middle and well left of every other that the noun fits, which are all
/// right of the middle.
fn place_verdict(scene: &Scene, side: Side, fitting: &[&Object], object: &Object) -> Verdict {
    let own = side.reach(scene, object);
    let others = fitting.iter().filter(|other| **other != object);
    let best = others.map(|other| side.reach(scene, other)).fold(0.0, f64::max);
    if own >= 0.55 && own >= best + PLACE_MARGIN {
        Verdict::Yes
    } else if own <= 0.5 && best >= own + PLACE_MARGIN {
        Verdict::No
    } else {
        Verdict::Unclear
    }
}

/// Left of the anchor: clearly further left, and more to the left than up or down.
fn relation_verdict(scene: &Scene, side: Side, anchor: &Object, object: &Object) -> Verdict {
    let ahead = side.reach(scene, object) - side.reach(scene, anchor);
    if ahead >= RELATION_MARGIN && side.leads(anchor, object) {
        Verdict::Yes
    } else if ahead <= 0.0 {
        Verdict::No
    } else {
        Verdict::Unclear
    }
}

/// Every word a phrase may hold, sorted.
pub fn words() -> Vec<&'static str> {
    let sides = Side::ALL.iter();
    let wordings = sides.flat_map(|side| [side.place_wordings(), side.relation_wordings()]);
    let lists = [BARE_WORDINGS, NO_SHAPE, size_words(Size::Small), size_words(Size::Large)];
    let phrases = wordings.chain(lists).flatten().flat_map(|wording| wording.split(' '));
    let mut words: Vec<_> = phrases.filter(|word| *word != "{}").collect();
    words.extend(Shape::ALL.map(Shape::name));
    words.extend(Colour::ALL.map(Colour::name));
    words.sort_unstable();
    words.dedup();
    words
}
