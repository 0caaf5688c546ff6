//! Objects: byte streams of any length as one content or as a list of them.
//!
//! ```text
//! object id = I…I [Z] [prefix] hex      I: the rest names a list of parts; Z: the content compresses itself
//! ```
//!
//! Cutting is the splitter's business and writing the contents is the content layer's; this layer keeps the list.

mod error;
mod id;
mod indirect;
mod reader;
mod stream;
mod writer;

pub use error::{Error, Result};
pub use id::{ObjectId, ParseObjectIdError};
pub use indirect::{Segment, SegmentList};
pub use reader::{ObjectBytes, ObjectReader};
pub use stream::ObjectStream;
pub use writer::{NewChunk, ObjectOptions, ObjectWriter, PartList};
