//! Tensor maps: what is encoded comes back, and CUDA's rules hold.

use ptx_vm::driver::Status;
use ptx_vm::driver::entry::*;
use ptx_vm::tensor_map::{ElementType, Interleave, Outside, Swizzle, TensorMap};

use crate::session::*;

#[repr(C, align(64))]
#[derive(Clone, Copy)]
pub struct Map([u8; 128]);

impl Default for Map {
    fn default() -> Self {
        Self([0; 128])
    }
}

/// Arguments of `cuTensorMapEncodeTiled`, to be changed one by one.
#[derive(Clone)]
pub struct Request {
    element: u32,
    rank: u32,
    address: u64,
    dimensions: Vec<u64>,
    strides: Vec<u64>,
    boxes: Vec<u32>,
    steps: Vec<u32>,
    interleave: u32,
    swizzle: u32,
    promotion: u32,
    fill: u32,
}

impl Default for Request {
    /// bf16, 100 rows of 64, boxes of 16 rows of 64, swizzled over 128 bytes.
    fn default() -> Self {
        Self {
            element: 9,
            rank: 2,
            address: 0x700_0000_0200,
            dimensions: vec![64, 100],
            strides: vec![128],
            boxes: vec![64, 16],
            steps: vec![1, 1],
            interleave: 0,
            swizzle: 3,
            promotion: 2,
            fill: 0,
        }
    }
}

impl Request {
    pub fn encode(&self, map: &mut Map) -> Status {
        self.encode_at(&mut map.0)
    }

    fn encode_at(&self, place: &mut [u8; 128]) -> Status {
        cuTensorMapEncodeTiled(
            out(place),
            self.element,
            self.rank,
            self.address,
            input(&self.dimensions),
            input(&self.strides),
            input(&self.boxes),
            input(&self.steps),
            self.interleave,
            self.swizzle,
            self.promotion,
            self.fill,
        )
    }
}

#[test]
fn a_map_comes_back_as_it_was_described() {
    let _session = Session::new();
    let mut map = Map::default();
    ok(Request::default().encode(&mut map));
    let decoded = TensorMap::decode(&map.0).expect("a map");
    assert_eq!(
        decoded,
        TensorMap {
            element: ElementType::Bf16,
            rank: 2,
            address: 0x700_0000_0200,
            dimensions: [64, 100, 1, 1, 1],
            strides: [2, 128, 0, 0, 0],
            box_dimensions: [64, 16, 1, 1, 1],
            element_strides: [1; 5],
            interleave: Interleave::None,
            swizzle: Swizzle::Bytes128,
            cache_bytes: 128,
            outside: Outside::Zero,
        }
    );
    assert_eq!(decoded.box_bytes(), 2048);
    ok(cuTensorMapReplaceAddress(out(&mut map.0), 0x700_0000_0400));
    assert_eq!(TensorMap::decode(&map.0).map(|m| m.address), Ok(0x700_0000_0400));
    assert_eq!(cuTensorMapReplaceAddress(out(&mut map.0), 8), Status::INVALID_VALUE);
    map.0[50] ^= 1;
    assert!(TensorMap::decode(&map.0).is_err());
    assert!(TensorMap::decode(&[0; 128]).is_err());
}

#[test]
fn the_largest_map_fits() {
    let _session = Session::new();
    let request = Request {
        element: 7,
        rank: 5,
        dimensions: vec![1 << 32, 2, 3, 4, 5],
        strides: vec![1 << 34, 1 << 35, 1 << 37, (1 << 40) - 16],
        boxes: vec![256, 2, 256, 4, 3],
        steps: vec![8, 2, 3, 8, 1],
        swizzle: 0,
        promotion: 3,
        fill: 1,
        ..Request::default()
    };
    let mut map = Map::default();
    ok(request.encode(&mut map));
    let decoded = TensorMap::decode(&map.0).expect("a map");
    assert_eq!(decoded.dimensions, [1 << 32, 2, 3, 4, 5]);
    assert_eq!(decoded.strides, [4, 1 << 34, 1 << 35, 1 << 37, (1 << 40) - 16]);
    assert_eq!(decoded.box_dimensions, [256, 2, 256, 4, 3]);
    assert_eq!((decoded.cache_bytes, decoded.outside), (256, Outside::NotANumber));
    let moved: Vec<u32> = (0..5).map(|d| decoded.moved(d)).collect();
    assert_eq!(moved, [256, 1, 86, 1, 3]);
}

#[test]
fn every_rule_is_checked() {
    let _session = Session::new();
    let mut map = Map::default();
    type Change = fn(&mut Request);
    let cases: &[(&str, Change)] = &[
        ("rank 0", |r| r.rank = 0),
        ("rank 6", |r| r.rank = 6),
        ("element type 13", |r| r.element = 13),
        ("a multiple of 16", |r| r.address += 8),
        ("dimension 1 of 0", |r| r.dimensions[1] = 0),
        ("1 to 2^32", |r| r.dimensions[1] = (1 << 32) + 1),
        ("stride 136", |r| r.strides[0] = 136),
        ("below 2^40", |r| r.strides[0] = 1 << 40),
        ("of rows of 128 bytes", |r| r.strides[0] = 112),
        ("box of 0", |r| r.boxes[1] = 0),
        ("box of 257", |r| r.boxes[1] = 257),
        ("box rows of 24 bytes", |r| r.boxes[0] = 12),
        ("the swizzle takes 128", |r| r.boxes[0] = 72),
        ("the swizzle takes 32", |r| r.swizzle = 1),
        ("swizzle 4", |r| r.swizzle = 4),
        ("element stride 9", |r| r.steps[1] = 9),
        ("element stride 0", |r| r.steps[0] = 0),
        ("interleave 3", |r| r.interleave = 3),
        ("with interleave", |r| r.interleave = 1),
        ("cache promotion 4", |r| r.promotion = 4),
        ("fill 2", |r| r.fill = 2),
        ("NaN outside a tensor of U16", |r| (r.element, r.fill) = (1, 1)),
    ];
    for (part, change) in cases {
        let mut request = Request::default();
        change(&mut request);
        assert_eq!(request.encode(&mut map), Status::INVALID_VALUE, "{part}");
        assert!(report().contains(part), "{part} is not in {}", report());
    }
    let mut edge = Request::default();
    (edge.dimensions[1], edge.boxes[1], edge.steps[1]) = (1 << 32, 256, 8);
    ok(edge.encode(&mut map));
    let mut bytes = [0u8; 256];
    let at = bytes.as_mut_ptr().align_offset(64) + 16;
    let place: &mut [u8; 128] = (&mut bytes[at..at + 128]).try_into().expect("128 bytes");
    assert_eq!(Request::default().encode_at(place), Status::INVALID_VALUE);
    assert!(report().contains("a multiple of 64"), "{}", report());
}
