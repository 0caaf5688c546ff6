//! Index files of version 1.

use super::index_v2;

pub fn check(data: &[u8]) {
    index_v2::check_version(1, data);
}
