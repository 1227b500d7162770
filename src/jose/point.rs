//! Whether a point lies on its curve (SEC 1 section 2.2.1). About public numbers, so nothing here takes
//! the same time for all of them.

use crate::jose::jwk::Curve;

/// A number of up to 521 bits and one more, the least significant limb first.
type Number = [u32; 17];

/// Whether y² = x³ - 3x + b, for coordinates below the prime.
pub(super) fn is_on(curve: Curve, x: &[u8], y: &[u8]) -> bool {
    let field = Field {
        prime: number(&curve.prime()),
        limbs: curve.coordinate_length().div_ceil(4),
    };
    let (x, y) = (number(x), number(y));
    // Without a subtraction: y² + 3x = x³ + b.
    let mut left = field.times(&y, &y);
    let mut right = field.times(&field.times(&x, &x), &x);
    for _ in 0..3 {
        field.add(&mut left, &x);
    }
    field.add(&mut right, &number(coefficient(curve)));
    left == right
}

/// The coefficient b, most significant byte first (SEC 2 sections 2.4.2, 2.5.1, 2.6.1).
fn coefficient(curve: Curve) -> &'static [u8] {
    match curve {
        Curve::P256 => {
            b"\x5a\xc6\x35\xd8\xaa\x3a\x93\xe7\xb3\xeb\xbd\x55\x76\x98\x86\xbc\
              \x65\x1d\x06\xb0\xcc\x53\xb0\xf6\x3b\xce\x3c\x3e\x27\xd2\x60\x4b"
        }
        Curve::P384 => {
            b"\xb3\x31\x2f\xa7\xe2\x3e\xe7\xe4\x98\x8e\x05\x6b\xe3\xf8\x2d\x19\
              \x18\x1d\x9c\x6e\xfe\x81\x41\x12\x03\x14\x08\x8f\x50\x13\x87\x5a\
              \xc6\x56\x39\x8d\x8a\x2e\xd1\x9d\x2a\x85\xc8\xed\xd3\xec\x2a\xef"
        }
        Curve::P521 => {
            b"\x00\x51\x95\x3e\xb9\x61\x8e\x1c\x9a\x1f\x92\x9a\x21\xa0\xb6\x85\
              \x40\xee\xa2\xda\x72\x5b\x99\xb3\x15\xf3\xb8\xb4\x89\x91\x8e\xf1\
              \x09\xe1\x56\x19\x39\x51\xec\x7e\x93\x7b\x16\x52\xc0\xbd\x3b\xb1\
              \xbf\x07\x35\x73\xdf\x88\x3d\x2c\x34\xf1\xef\x45\x1f\xd4\x6b\x50\
              \x3f\x00"
        }
    }
}

/// From bytes, the most significant first, of which there are at most as many as limbs hold.
#[inline(never)]
fn number(bytes: &[u8]) -> Number {
    let mut number = Number::default();
    for (limb, bytes) in number.iter_mut().zip(bytes.rchunks(4)) {
        *limb = bytes
            .iter()
            .fold(0, |limb, byte| (limb << 8) | u32::from(*byte));
    }
    number
}

/// The numbers below a prime.
struct Field {
    prime: Number,
    /// How many limbs such numbers have.
    limbs: usize,
}

impl Field {
    fn add(&self, sum: &mut Number, other: &Number) {
        add(sum, other);
        if sum.iter().rev().ge(self.prime.iter().rev()) {
            subtract(sum, &self.prime);
        }
    }

    /// Bit by bit: a key is read once for thousands of signatures.
    #[inline(never)]
    fn times(&self, factor: &Number, other: &Number) -> Number {
        let mut product = Number::default();
        for limb in factor.iter().take(self.limbs).rev() {
            for bit in (0..u32::BITS).rev() {
                let same = product;
                self.add(&mut product, &same);
                if (limb >> bit) & 1 == 1 {
                    self.add(&mut product, other);
                }
            }
        }
        product
    }
}

fn add(sum: &mut Number, other: &Number) {
    let mut carry = false;
    for (limb, other) in sum.iter_mut().zip(other) {
        let (once, first) = limb.overflowing_add(*other);
        let (twice, second) = once.overflowing_add(u32::from(carry));
        *limb = twice;
        carry = first | second;
    }
}

fn subtract(difference: &mut Number, other: &Number) {
    let mut borrow = false;
    for (limb, other) in difference.iter_mut().zip(other) {
        let (once, first) = limb.overflowing_sub(*other);
        let (twice, second) = once.overflowing_sub(u32::from(borrow));
        *limb = twice;
        borrow = first | second;
    }
}

#[cfg(test)]
#[cfg(not(target_arch = "wasm32"))]
mod tests {
    use super::*;

    /// Points that somebody else computed, and the same with one bit changed.
    fn agrees(curve: Curve, point: &[u8]) {
        let [_, rest @ ..] = point else {
            panic!("a point")
        };
        let (x, y) = rest.split_at(curve.coordinate_length());
        assert!(is_on(curve, x, y));
        for place in [0, 1, 7] {
            let mut other = y.to_vec();
            *other.last_mut().unwrap() ^= 1 << place;
            assert!(!is_on(curve, x, &other));
            let mut other = x.to_vec();
            *other.last_mut().unwrap() ^= 1 << place;
            assert!(!is_on(curve, &other, y));
        }
        assert!(!is_on(curve, y, x));
    }

    #[test]
    fn points_of_each_curve_lie_on_it_and_no_others() {
        for seed in 1..6_u8 {
            let scalar = |length| vec![seed; length];
            let key = p256::ecdsa::SigningKey::from_slice(&scalar(32)).unwrap();
            agrees(
                Curve::P256,
                key.verifying_key().to_sec1_point(false).as_bytes(),
            );
            let key = p384::ecdsa::SigningKey::from_slice(&scalar(48)).unwrap();
            agrees(
                Curve::P384,
                key.verifying_key().to_sec1_point(false).as_bytes(),
            );
            let mut bytes = scalar(66);
            bytes[0] = 0;
            let key = p521::ecdsa::SigningKey::from_slice(&bytes).unwrap();
            agrees(
                Curve::P521,
                key.verifying_key().to_sec1_point(false).as_bytes(),
            );
        }
    }

    #[test]
    fn the_negative_point_lies_on_the_curve_too() {
        let key = p256::ecdsa::SigningKey::from_slice(&[3; 32]).unwrap();
        let point = key.verifying_key().to_sec1_point(false);
        let (x, y) = point.as_bytes()[1..].split_at(32);
        let mut negative = number(&Curve::P256.prime());
        subtract(&mut negative, &number(y));
        let bytes: Vec<u8> = negative
            .iter()
            .take(8)
            .rev()
            .flat_map(|limb| limb.to_be_bytes())
            .collect();
        assert!(is_on(Curve::P256, x, &bytes));
    }
}
