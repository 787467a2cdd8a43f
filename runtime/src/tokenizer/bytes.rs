//! The byte-level alphabet: every byte as one printable character.
//!
//! From GPT-2's `encoder.py`: bytes that print as themselves in Latin-1 stand for themselves, the
//! 68 others, in order, for U+0100, U+0101, … So a token of a byte-level vocabulary is a string
//! over 256 letters; a space is `Ġ`.

/// The bytes that don't print as themselves, in order.
const OTHERS: [u8; 68] = {
    let mut others = [0; 68];
    let (mut byte, mut n) = (0, 0);
    while byte < 256 {
        if !prints(byte as u8) {
            others[n] = byte as u8;
            n += 1;
        }
        byte += 1;
    }
    others
};

const LETTERS: [char; 256] = {
    let mut letters = ['\0'; 256];
    let mut byte = 0;
    while byte < 256 {
        letters[byte] = byte as u8 as char;
        byte += 1;
    }
    let mut n = 0;
    while n < OTHERS.len() {
        if let Some(letter) = char::from_u32(256 + n as u32) {
            letters[OTHERS[n] as usize] = letter;
        }
        n += 1;
    }
    letters
};

const fn prints(byte: u8) -> bool {
    matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF)
}

/// The letter of a byte.
pub(crate) const fn letter(byte: u8) -> char {
    LETTERS[byte as usize]
}

/// The byte of a letter; none where the character isn't of the alphabet.
pub(super) fn byte(letter: char) -> Option<u8> {
    match u32::from(letter) {
        code @ 0..=255 => Some(code as u8).filter(|&b| prints(b)),
        code => OTHERS.get(code as usize - 256).copied(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_its_own_letter() {
        for b in 0..=255 {
            assert_eq!(byte(letter(b)), Some(b));
        }
        assert_eq!((letter(b' '), letter(b'\n'), letter(b'a')), ('Ġ', 'Ċ', 'a'));
        assert_eq!(byte(' '), None);
        assert_eq!(byte('\u{144}'), None);
    }
}
