//! HMAC-SHA-256 (RFC 2104), for values that we make and recognise ourselves.

use sha2::{Digest as _, Sha256};
use zeroize::Zeroize as _;

/// How many bytes SHA-256 takes at a time.
const BLOCK: usize = 64;

/// The code of a message under a key of any length.
///
/// What it does not check: that the key is long enough to be a secret.
pub(crate) fn hmac_sha256(key: &[u8], message: &[&[u8]]) -> [u8; 32] {
    // RFC 2104 section 2: keys longer than a block are hashed, shorter ones filled with zeros.
    let mut block = [0_u8; BLOCK];
    let hashed: [u8; 32];
    let short = if key.len() > BLOCK {
        hashed = Sha256::digest(key).into();
        &hashed
    } else {
        key
    };
    for (place, byte) in block.iter_mut().zip(short) {
        *place = *byte;
    }
    let mut padded = |pad: u8| {
        for byte in &mut block {
            *byte ^= pad;
        }
        let digest = Sha256::new_with_prefix(block);
        for byte in &mut block {
            *byte ^= pad;
        }
        digest
    };
    let inner = message
        .iter()
        .fold(padded(0x36), |digest, part| digest.chain_update(part))
        .finalize();
    let code = padded(0x5c).chain_update(inner).finalize().into();
    block.zeroize();
    code
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn the_vectors_of_rfc_4231_come_out() {
        // 4.2, 4.3, and 4.7 with a key longer than a block.
        assert_eq!(
            hex(&hmac_sha256(&[0x0b; 20], &[b"Hi There"])),
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"
        );
        assert_eq!(
            hex(&hmac_sha256(
                b"Jefe",
                &[b"what do ya want ", b"for nothing?"]
            )),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
        assert_eq!(
            hex(&hmac_sha256(
                &[0xaa; 131],
                &[b"Test Using Larger Than Block-Size Key - Hash Key First"]
            )),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
        );
    }
}
