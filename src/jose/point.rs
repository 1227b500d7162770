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
    let (x, y, b) = (number(x), number(y), number(coefficient(curve)));
    // Without a subtraction: y² + 3x = x³ + b. Each product is divided by R, so that all four have been
    // divided by R² once they are compared.
    let one = number(&[1]);
    let over = |number: &Number| field.times(&field.times(number, &one), &one);
    let mut left = field.times(&field.times(&y, &y), &one);
    let mut right = field.times(&field.times(&x, &x), &x);
    let x = over(&x);
    for _ in 0..3 {
        field.add(&mut left, &x);
    }
    field.add(&mut right, &over(&b));
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
    #[inline(never)]
    fn add(&self, sum: &mut Number, other: &Number) {
        add(sum, other);
        self.reduce(sum);
    }

    fn reduce(&self, sum: &mut Number) {
        if sum.iter().rev().ge(self.prime.iter().rev()) {
            subtract(sum, &self.prime);
        }
    }

    /// The product divided by R, which is 2 to the power of 32 for each limb (Montgomery's
    /// multiplication). The lowest limb of all three primes is 2^32 - 1, so what has to be added to
    /// make the lowest limb of a sum zero is the prime as often as that limb says.
    #[inline(never)]
    fn times(&self, factor: &Number, other: &Number) -> Number {
        // Each is below 2^32 between two steps; the one behind the highest takes what is carried there.
        let mut sum = [0_u64; 18];
        for digit in factor.iter().take(self.limbs) {
            self.add_product(&mut sum, u64::from(*digit), other);
            let lowest = sum.first().copied().unwrap_or_default();
            self.add_product(&mut sum, lowest, &self.prime);
            // The lowest is zero now.
            sum.copy_within(1.., 0);
            if let Some(highest) = sum.last_mut() {
                *highest = 0;
            }
        }
        let mut product = Number::default();
        for (limb, wide) in product.iter_mut().zip(sum) {
            *limb = low(wide);
        }
        self.reduce(&mut product);
        product
    }

    /// Adds so many times a number; every limb is below 2^32 after it.
    fn add_product(&self, sum: &mut [u64; 18], times: u64, other: &Number) {
        let mut carry = 0;
        for (limb, other) in sum.iter_mut().zip(other).take(self.limbs) {
            // (2^32 - 1)² + 2 (2^32 - 1) is 2^64 - 1.
            let wide = times
                .wrapping_mul(u64::from(*other))
                .wrapping_add(*limb)
                .wrapping_add(carry);
            *limb = u64::from(low(wide));
            carry = wide >> 32;
        }
        for limb in sum.iter_mut().skip(self.limbs).take(2) {
            carry = carry.wrapping_add(*limb);
            *limb = u64::from(low(carry));
            carry >>= 32;
        }
    }
}

/// The lower half.
fn low(wide: u64) -> u32 {
    let [a, b, c, d, ..] = wide.to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
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
