//! What was compressed with zlib (RFC 1950, RFC 1951), inflated up to a bound.
//!
//! Lists come seldom: what is used in many places stands in the artefact once.

/// Inflates a stream that fills the input; `None` for what is none, for one that is longer than
/// `most` bytes, and for one whose checksum is wrong. No more than `most` bytes are ever held.
pub(super) fn inflate(input: &[u8], most: usize) -> Option<Vec<u8>> {
    let (&[method, flags], rest) = input.split_first_chunk()?;
    let (body, sum) = rest.split_last_chunk()?;
    // RFC 1950 section 2.2: deflate, a window of 32 KiB at the most, no dictionary of somebody's.
    let is_sound = u16::from_be_bytes([method, flags]) % 31 == 0;
    if method & 15 != 8 || method >> 4 > 7 || flags & 0x20 != 0 || !is_sound {
        return None;
    }
    let mut bits = Bits {
        bytes: body.iter(),
        held: 0,
        count: 0,
    };
    let mut out = Output {
        bytes: Vec::new(),
        most,
    };
    loop {
        let is_last = bits.take(1)? == 1;
        match bits.take(2)? {
            0 => stored(&mut bits, &mut out)?,
            1 => {
                let (literals, distances) = fixed()?;
                compressed(&mut bits, &mut out, &literals, &distances)?;
            }
            2 => {
                let (literals, distances) = dynamic(&mut bits)?;
                compressed(&mut bits, &mut out, &literals, &distances)?;
            }
            _ => return None,
        }
        if is_last {
            break;
        }
    }
    let is_whole = bits.bytes.next().is_none();
    (is_whole && checksum(&out.bytes) == u32::from_be_bytes(*sum)).then_some(out.bytes)
}

/// The input bit by bit, the lowest of each byte first.
struct Bits<'a> {
    bytes: core::slice::Iter<'a, u8>,
    held: u32,
    count: u32,
}

impl Bits<'_> {
    /// The next bits as a number, 16 at the most.
    #[inline(never)]
    fn take(&mut self, count: u32) -> Option<u32> {
        while self.count < count {
            self.held |= u32::from(*self.bytes.next()?) << self.count;
            self.count += 8;
        }
        let value = self.held & ((1 << count) - 1);
        self.held >>= count;
        self.count -= count;
        Some(value)
    }

    /// Goes on at the next byte.
    fn align(&mut self) {
        (self.held, self.count) = (0, 0);
    }
}

struct Output {
    bytes: Vec<u8>,
    most: usize,
}

impl Output {
    #[inline(never)]
    fn push(&mut self, byte: u8) -> Option<()> {
        if self.bytes.len() >= self.most {
            return None;
        }
        self.bytes.push(byte);
        Some(())
    }
}

/// A canonical Huffman code (RFC 1951 section 3.2.2): how many codes there are of each length, and
/// what they stand for in the order of the codes.
struct Code {
    counts: [u32; 16],
    symbols: Vec<u16>,
}

impl Code {
    /// The code of these lengths; `None` when more codes are used than there are, or fewer, but for
    /// one of a single code or of none.
    #[inline(never)]
    fn new(lengths: &[u8]) -> Option<Self> {
        let mut counts = [0; 16];
        let mut symbols = Vec::new();
        let mut left = 1_u32;
        for (length, count) in (0_u8..).zip(&mut counts).skip(1) {
            for (symbol, _) in (0_u16..).zip(lengths).filter(|(_, own)| **own == length) {
                symbols.push(symbol);
                *count += 1;
            }
            left = (left * 2).checked_sub(*count)?;
        }
        (left == 0 || symbols.len() <= 1).then_some(Self { counts, symbols })
    }

    #[inline(never)]
    fn decode(&self, bits: &mut Bits<'_>) -> Option<u16> {
        let (mut code, mut first, mut index) = (0_u32, 0_u32, 0_u32);
        for count in self.counts.iter().skip(1) {
            code |= bits.take(1)?;
            let place = code.checked_sub(first)?;
            if place < *count {
                return self
                    .symbols
                    .get(usize::try_from(index + place).ok()?)
                    .copied();
            }
            index += count;
            first = (first + count) * 2;
            code *= 2;
        }
        None
    }
}

/// A block as it is (section 3.2.4).
fn stored(bits: &mut Bits<'_>, out: &mut Output) -> Option<()> {
    bits.align();
    let length = bits.take(16)?;
    if bits.take(16)? != !length & 0xFFFF {
        return None;
    }
    for _ in 0..length {
        out.push(*bits.bytes.next()?)?;
    }
    Some(())
}

/// The codes of section 3.2.6.
fn fixed() -> Option<(Code, Code)> {
    let mut lengths = [8_u8; 288];
    lengths.get_mut(144..256)?.fill(9);
    lengths.get_mut(256..280)?.fill(7);
    // Two of the thirty-two are never used, and count all the same.
    Some((Code::new(&lengths)?, Code::new(&[5; 32])?))
}

/// The codes that stand before their block (section 3.2.7).
fn dynamic(bits: &mut Bits<'_>) -> Option<(Code, Code)> {
    const ORDER: [usize; 19] = [
        16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15,
    ];
    let literals = usize::try_from(bits.take(5)? + 257).ok()?;
    let distances = usize::try_from(bits.take(5)? + 1).ok()?;
    let given = usize::try_from(bits.take(4)? + 4).ok()?;
    if literals > 286 || distances > 30 {
        return None;
    }
    let mut own = [0; 19];
    for place in ORDER.iter().take(given) {
        *own.get_mut(*place)? = u8::try_from(bits.take(3)?).ok()?;
    }
    let code = Code::new(&own)?;
    let all = literals + distances;
    let mut lengths: Vec<u8> = Vec::with_capacity(all);
    while lengths.len() < all {
        let (value, times) = match code.decode(bits)? {
            16 => (*lengths.last()?, 3 + bits.take(2)?),
            17 => (0, 3 + bits.take(3)?),
            18 => (0, 11 + bits.take(7)?),
            length => (u8::try_from(length).ok()?, 1),
        };
        for _ in 0..times {
            lengths.push(value);
        }
    }
    if lengths.len() > all {
        return None;
    }
    let (literals, distances) = lengths.split_at_checked(literals)?;
    // Without the code of its end a block has none.
    if literals.get(256) == Some(&0) {
        return None;
    }
    Some((Code::new(literals)?, Code::new(distances)?))
}

/// A block of literals, and of lengths with distances (section 3.2.5).
fn compressed(
    bits: &mut Bits<'_>,
    out: &mut Output,
    literals: &Code,
    distances: &Code,
) -> Option<()> {
    loop {
        let symbol = literals.decode(bits)?;
        if let Ok(byte) = u8::try_from(symbol) {
            out.push(byte)?;
            continue;
        }
        let length = match u32::from(symbol) - 256 {
            0 => return Some(()),
            short @ 1..=8 => short + 2,
            29 => 258,
            symbol @ 9..=28 => {
                let extra = (symbol - 5) / 4;
                ((4 + (symbol - 1) % 4) << extra) + 3 + bits.take(extra)?
            }
            _ => return None,
        };
        let distance = match u32::from(distances.decode(bits)?) {
            short @ 0..=3 => short + 1,
            symbol @ 4..=29 => {
                let extra = symbol / 2 - 1;
                ((2 + symbol % 2) << extra) + 1 + bits.take(extra)?
            }
            _ => return None,
        };
        let distance = usize::try_from(distance).ok()?;
        for _ in 0..length {
            let place = out.bytes.len().checked_sub(distance)?;
            out.push(*out.bytes.get(place)?)?;
        }
    }
}

/// Adler-32 (RFC 1950 section 8.2).
fn checksum(bytes: &[u8]) -> u32 {
    let (mut low, mut high) = (1_u32, 0_u32);
    for byte in bytes {
        low = (low + u32::from(*byte)) % 65_521;
        high = (high + low) % 65_521;
    }
    high << 16 | low
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hexadecimal digits.
    fn bytes(text: &str) -> Vec<u8> {
        let pairs = text.as_bytes().chunks(2);
        let digit = |digit: u8| u8::try_from(char::from(digit).to_digit(16).unwrap()).unwrap();
        pairs
            .map(|pair| digit(pair[0]) * 16 + digit(pair[1]))
            .collect()
    }

    const FIXED: &str = "78dacb48cdc9c957c8402701680308b1";
    const STORED: &str = "7801010600f9ff73746f726564093c0292";
    const EMPTY: &str = "789c030000000001";
    /// Six hundred bytes of seven values.
    const DYNAMIC: &str = "78da35918b11c33008438109b4ffb2aa9e9c263d5f8a853e30b39af1cd5cde99dd1cb7ad48a95d0bce4d11e7c0ef4451adac6e3d5b9c472ed38ec097a9a40ae339df69daf32b4b888c4ea64188c0085180bb29e70c8f378654d63e40b188634ca6127e856c6de77bf344a0f026982f2164f5f7572ab29434ebc3243a8a0d744d16fb87fbf03b7fbd8d5a2243940edae7afb86960b8ee2f57a08ab02289dc74d668c670e78a52421c0dc3b86abbebd93713817557718c856b574ecf7736e6e7f925bdda4b19f7984a85c5a619435b560e5231c1fa579786249bfd06848b55d9de1c3f918ee305441ee00f02dd5252";

    #[test]
    fn every_kind_of_block_is_inflated() {
        assert_eq!(inflate(&bytes(EMPTY), 0).unwrap(), b"");
        assert_eq!(inflate(&bytes(STORED), 6).unwrap(), b"stored");
        let text = b"hello hello hello hello";
        assert_eq!(inflate(&bytes(FIXED), text.len()).unwrap(), text);
        let dynamic = inflate(&bytes(DYNAMIC), 600).unwrap();
        assert_eq!((dynamic.len(), checksum(&dynamic)), (600, 48058962));
    }

    #[test]
    fn clm_56_it_stops_at_the_bound_whatever_is_behind() {
        assert_eq!(inflate(&bytes(STORED), 5), None);
        assert_eq!(inflate(&bytes(FIXED), 22), None);
        assert_eq!(inflate(&bytes(DYNAMIC), 599), None);
        // A megabyte of zeros: a literal, and 258 bytes a time at one bit each for length and distance.
        let mut bomb = bytes("78daedc13101000000c2a0f54f6d085fa0");
        bomb.resize(bomb.len() + 1016, 0);
        bomb.extend(bytes("3e0300f00001"));
        assert_eq!(inflate(&bomb, 1 << 20).unwrap(), vec![0; 1 << 20]);
        assert_eq!(inflate(&bomb, (1 << 20) - 1), None);
    }

    #[test]
    fn what_is_cut_changed_or_followed_by_something_is_none() {
        for text in [EMPTY, STORED, FIXED, DYNAMIC] {
            let whole = bytes(text);
            assert!(inflate(&whole, 1000).is_some());
            for length in 0..whole.len() {
                assert_eq!(inflate(&whole[..length], 1000), None, "{length} of {text}");
            }
            let mut longer = whole.clone();
            longer.push(0);
            assert_eq!(inflate(&longer, 1000), None);
            for place in 0..whole.len() {
                for bit in 0..8 {
                    let mut changed = whole.clone();
                    changed[place] ^= 1 << bit;
                    // Unused bits, and sizes of a window that fits, may differ.
                    if let Some(out) = inflate(&changed, 1000) {
                        assert_eq!(Some(out), inflate(&whole, 1000));
                    }
                }
            }
        }
    }
}
