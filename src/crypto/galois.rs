//! Reed–Solomon arithmetic: the field of 256 elements and the polynomials that join the shards of a block.
//!
//! The shards of a block are the values, byte by byte, of one polynomial of degree below the number of data shards, at
//! the points 0, 1, 2, …; data first, parity after. Any so many intact shards determine the polynomial and with it all
//! others. This is the code that a Vandermonde matrix with its top square inverted away describes.

/// x^8 + x^4 + x^3 + x^2 + 1, without its highest term.
const POLYNOMIAL: u8 = 0x1d;

static LOG: [u8; 256] = LOG_EXP.0;
static EXP: [u8; 255] = LOG_EXP.1;
const LOG_EXP: ([u8; 256], [u8; 255]) = log_exp();
/// `PRODUCT[a][b]` = a · b.
static PRODUCT: [[u8; 256]; 256] = products();

/// Logarithms to base 2 and their inverse; the logarithm of 0 means nothing.
const fn log_exp() -> ([u8; 256], [u8; 255]) {
    let (mut log, mut exp) = ([0; 256], [0; 255]);
    let mut power = 1_u8;
    let mut exponent = 0;
    while exponent < exp.len() {
        exp[exponent] = power;
        log[power as usize] = exponent as u8;
        power = (power << 1) ^ if power & 0x80 == 0 { 0 } else { POLYNOMIAL };
        exponent += 1;
    }
    (log, exp)
}

#[expect(clippy::large_stack_arrays, reason = "runs in the compiler only")]
const fn products() -> [[u8; 256]; 256] {
    let mut table = [[0; 256]; 256];
    let mut a = 1;
    while a < 256 {
        let mut b = 1;
        while b < 256 {
            let exponent = LOG_EXP.0[a] as usize + LOG_EXP.0[b] as usize;
            table[a][b] = LOG_EXP.1[exponent % 255];
            b += 1;
        }
        a += 1;
    }
    table
}

/// Weights with which the values at `known` points add up to the value at `point`, which is not among them.
pub(super) fn weights(known: &[u8], point: u8) -> Vec<u8> {
    // Lagrange's formula in logarithms; subtraction is XOR, and distinct points never differ by 0.
    let log_distance = |a: u8, b: u8| u32::from(LOG[usize::from(a ^ b)]);
    let all: u32 = known.iter().map(|&other| log_distance(point, other)).sum();
    let weight = |&at: &u8| {
        let others = known.iter().filter(|&&other| other != at);
        let below: u32 = others.map(|&other| log_distance(at, other)).sum::<u32>() + log_distance(point, at);
        EXP[((all % 255 + 255 - below % 255) % 255) as usize]
    };
    known.iter().map(weight).collect()
}

/// Adds `factor` · `shard` to `sum`, byte by byte.
pub(super) fn add_product(sum: &mut [u8], factor: u8, shard: &[u8]) {
    let products = &PRODUCT[usize::from(factor)];
    for (sum, &byte) in sum.iter_mut().zip(shard) {
        *sum ^= products[usize::from(byte)];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The check of the construction by Backblaze: five data shards, five of parity.
    #[test]
    fn published_parity() {
        let data = [[0, 1], [4, 5], [2, 3], [6, 7], [8, 9]];
        let parity = (5..10).map(|point| {
            let mut sum = [0; 2];
            for (weight, shard) in weights(&[0, 1, 2, 3, 4], point).into_iter().zip(&data) {
                add_product(&mut sum, weight, shard);
            }
            sum
        });
        assert!(parity.eq([[12, 13], [10, 11], [14, 15], [90, 91], [94, 95]]));
    }

    #[test]
    fn products_distribute() {
        for (a, products) in PRODUCT.iter().enumerate() {
            assert_eq!((products[0], products[1]), (0, a as u8));
            for (b, &product) in products.iter().enumerate() {
                assert_eq!(product, PRODUCT[b][a]);
                assert_eq!(product ^ products[7], products[b ^ 7]);
            }
        }
    }
}
