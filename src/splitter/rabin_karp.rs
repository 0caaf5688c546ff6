//! Rabin–Karp over polynomials modulo 2, 53 bits.

use super::rolling::{RollingHash, WINDOW};

/// The modulus, irreducible, of degree [`DEGREE`]; bit *i* is the coefficient of x^i.
const POLYNOMIAL: u64 = 0x2e_3e3e_4a30_5605;
const DEGREE: u32 = 53;

/// What a byte leaving the window contributes: byte · x^(8·63) mod P.
static OUT: [u64; 256] = out_table();
/// What overflowing bits turn into, with those bits themselves to cancel them.
static MOD: [u64; 256] = mod_table();

/// The window as one number in base 256, modulo the polynomial.
///
/// Source: `github.com/chmduquesne/rollinghash/rabinkarp64`, as kopia `repo/splitter/splitter_rabinkarp64.go` seeds it.
#[derive(Debug)]
pub(super) enum RabinKarp64 {}

impl RollingHash for RabinKarp64 {
    type State = u64;

    #[inline]
    fn push(state: u64, input: u8) -> u64 {
        let overflow = (state >> (DEGREE - 8)) as u8;
        ((state << 8) | u64::from(input)) ^ MOD[usize::from(overflow)]
    }

    #[inline]
    fn roll(state: u64, out: u8, input: u8) -> u64 {
        Self::push(state ^ OUT[usize::from(out)], input)
    }

    #[inline]
    fn low_bits(state: u64) -> u32 {
        state as u32
    }
}

/// `value` mod P, for values below x^61.
const fn reduce(mut value: u64) -> u64 {
    let mut bit = 63;
    while bit >= DEGREE {
        if value >> bit & 1 == 1 {
            value ^= POLYNOMIAL << (bit - DEGREE);
        }
        bit -= 1;
    }
    value
}

const fn out_table() -> [u64; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < table.len() {
        let mut value = byte as u64;
        let mut later = 1;
        while later < WINDOW {
            value = reduce(value << 8);
            later += 1;
        }
        table[byte] = value;
        byte += 1;
    }
    table
}

const fn mod_table() -> [u64; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < table.len() {
        let overflow = (byte as u64) << DEGREE;
        table[byte] = reduce(overflow) | overflow;
        byte += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers() {
        assert_eq!((OUT[1], OUT[255]), (0x18_c823_7bf8_9981, 0x0e_4730_942d_f54d));
        assert_eq!((MOD[1], MOD[255]), (0x2e_3e3e_4a30_5605, 0x1fe6_0624_da18_a7a6));
        let window: [u8; 64] = std::array::from_fn(|n| n as u8);
        assert_eq!(RabinKarp64::of_window(&window), 0x1a_9159_8731_792b);
        assert_eq!(RabinKarp64::roll(0x1a_9159_8731_792b, 0, 64), 0x08_6093_85aa_1452);
    }
}
