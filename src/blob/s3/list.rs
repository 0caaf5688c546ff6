//! Listing blobs: page by page, and by several threads at once where one page is not enough.
//!
//! Pages come in the order of keys, so the keys after the first page can be cut into stretches that are listed at once.
//! Each thread keeps only what is in its stretch: a server that passes over the start it is given costs time, and nothing
//! is told twice. A bucket that is not in order is listed page by page.

use super::call::Call;
use super::fault::Fault;
use super::{S3, timestamp};
use crate::blob::backoff::Backoff;
use crate::blob::remote::Cause;
use crate::blob::{BlobId, BlobMetadata, Result};
use aws_sdk_s3::operation::list_objects_v2::ListObjectsV2Output;
use aws_sdk_s3::types::Object;
use crossbeam_channel::{Sender, bounded};
use parking_lot::Mutex;
use std::collections::VecDeque;

/// Stretches listed at once. Each holds one page, 1000 keys, of about 200 KiB while it is decoded.
const LISTERS: usize = 8;
/// Pages that wait to be told.
const PAGES_WAITING: usize = 2;
const DELIMITER: &str = "/";
const HEX: &str = "0123456789abcdef";

type Visit<'a> = &'a mut dyn FnMut(BlobMetadata) -> Result<()>;

/// Names after `begin`, up to and with `end`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stretch {
    begin: String,
    end: Option<String>,
}

struct Page {
    blobs: Vec<BlobMetadata>,
    /// Where the next one begins.
    next: Option<String>,
    /// The last key in it, also of what is no blob.
    last: Option<String>,
    is_sorted: bool,
}

impl S3 {
    pub(super) fn list_blobs(&self, prefix: &str, visit: Visit<'_>) -> Result<()> {
        if !prefix.bytes().all(is_of_name) {
            return Ok(());
        }
        // Before anything was told, whoever asked may ask again: ten attempts of ten each would be a hundred.
        let first = self.page_once(prefix, None, None)?;
        let stretches = match &first {
            Page { next: Some(_), last: Some(last), is_sorted: true, .. } => stretches(prefix, last),
            _ => Vec::new(),
        };
        let next = first.next;
        first.blobs.into_iter().try_for_each(&mut *visit)?;
        if stretches.len() > 1 {
            return self.list_at_once(prefix, stretches, visit);
        }
        let Some(next) = next else { return Ok(()) };
        self.each_page(prefix, None, Some(next), &mut |page| page.blobs.into_iter().try_for_each(&mut *visit))
    }

    /// Calls `take` for every page from a start, a token or the beginning.
    fn each_page(
        &self,
        prefix: &str,
        start: Option<&str>,
        mut token: Option<String>,
        take: &mut dyn FnMut(Page) -> Result<()>,
    ) -> Result<()> {
        loop {
            let mut page = self.page(prefix, start, token.as_deref())?;
            let next = page.next.take();
            take(page)?;
            match next {
                // A server that gives the same token again would go on for ever.
                Some(next) if Some(&next) == token.as_ref() => {
                    let cause = Fault::Cause(Cause::NotUnderstood { status: 200 });
                    return Err(self.failed("list", &subject(prefix), cause));
                }
                Some(next) => token = Some(next),
                None => return Ok(()),
            }
        }
    }

    fn list_at_once(&self, prefix: &str, stretches: Vec<Stretch>, visit: Visit<'_>) -> Result<()> {
        let listers = LISTERS.min(stretches.len());
        let waiting = Mutex::new(VecDeque::from(stretches));
        let (give, take) = bounded::<Result<Vec<BlobMetadata>>>(PAGES_WAITING);
        std::thread::scope(|scope| {
            for _ in 0..listers {
                let (waiting, give) = (&waiting, give.clone());
                scope.spawn(move || {
                    loop {
                        let Some(stretch) = waiting.lock().pop_front() else { return };
                        if self.list_stretch(prefix, &stretch, &give).is_err() {
                            waiting.lock().clear();
                            return;
                        }
                    }
                });
            }
            drop(give);
            // When this ends early nobody takes pages any more, and the threads end with their next one.
            let outcome = take.iter().try_for_each(|page| page?.into_iter().try_for_each(&mut *visit));
            drop(take);
            outcome
        })
    }

    /// Hands on the pages of a stretch; an error when there is nothing more to do for anybody.
    fn list_stretch(
        &self,
        prefix: &str,
        stretch: &Stretch,
        give: &Sender<Result<Vec<BlobMetadata>>>,
    ) -> Result<(), Ended> {
        let mut token = None;
        loop {
            let page = match self.page(prefix, Some(&stretch.begin), token.as_deref()) {
                Ok(page) => page,
                Err(error) => {
                    // Nobody listens any more only when the listing has ended already.
                    give.send(Err(error)).ok();
                    return Err(Ended);
                }
            };
            let is_over = page.last.as_deref().is_none_or(|last| stretch.is_before(last));
            let blobs =
                page.blobs.into_iter().filter(|blob| stretch.has(blob.id.as_str())).collect::<Vec<_>>();
            if !blobs.is_empty() && give.send(Ok(blobs)).is_err() {
                return Err(Ended);
            }
            match page.next {
                Some(next) if !is_over && Some(&next) != token.as_ref() => token = Some(next),
                _ => return Ok(()),
            }
        }
    }

    /// One page, asked for again when that fails in passing: what was told before cannot be told again.
    fn page(&self, prefix: &str, start: Option<&str>, token: Option<&str>) -> Result<Page> {
        Backoff::KOPIA.run(&*self.clock, || self.page_once(prefix, start, token))
    }

    fn page_once(&self, prefix: &str, start: Option<&str>, token: Option<&str>) -> Result<Page> {
        self.ask_for_page(prefix, start, token).map_err(|fault| self.failed("list", &subject(prefix), fault))
    }

    fn ask_for_page(&self, prefix: &str, start: Option<&str>, token: Option<&str>) -> Result<Page, Fault> {
        let call = Call::default();
        let request = self
            .client
            .list_objects_v2()
            .bucket(&self.options.bucket)
            .prefix(self.key(prefix))
            .delimiter(DELIMITER)
            .set_start_after(start.filter(|_| token.is_none()).map(|name| self.key(name)))
            .set_continuation_token(token.map(str::to_owned))
            .customize()
            .mutate_request(call.attach());
        let answer = self.send("list", &call, request.send())?;
        self.read_page(answer).ok_or(Fault::Cause(Cause::NotUnderstood { status: call.head().status }))
    }

    /// What a page says; none if it is no answer of an object store.
    fn read_page(&self, answer: ListObjectsV2Output) -> Option<Page> {
        if answer.name.is_none() && answer.is_truncated.is_none() && answer.key_count.is_none() {
            return None;
        }
        let keys: Vec<&str> = answer.contents().iter().filter_map(Object::key).collect();
        let folders = answer.common_prefixes().iter().filter_map(|folder| folder.prefix());
        let last = keys.iter().copied().chain(folders).max();
        let last = last.and_then(|key| key.strip_prefix(&self.options.prefix)).map(str::to_owned);
        let is_sorted = keys.is_sorted();
        let blobs = answer.contents().iter().filter_map(|object| self.describe_object(object)).collect();
        let next = match (answer.is_truncated, answer.next_continuation_token) {
            (Some(true), None) => return None,
            (Some(false), _) => None,
            (_, next) => next,
        };
        Some(Page { blobs, next, last, is_sorted })
    }

    fn describe_object(&self, object: &Object) -> Option<BlobMetadata> {
        let id = BlobId::from(object.key()?.strip_prefix(&self.options.prefix)?);
        let length = u64::try_from(object.size()?).ok()?;
        let timestamp = timestamp(object.last_modified()?);
        id.is_valid().then_some(BlobMetadata { id, length, timestamp })
    }
}

/// There is nobody who wants more.
struct Ended;

impl Stretch {
    fn has(&self, name: &str) -> bool {
        name > self.begin.as_str() && !self.is_before(name)
    }

    fn is_before(&self, name: &str) -> bool {
        self.end.as_deref().is_some_and(|end| name > end)
    }
}

/// Cuts the names with `prefix` that come after `last` where many of a repository are: at the first digit of what a hash
/// names.
fn stretches(prefix: &str, last: &str) -> Vec<Stretch> {
    let digits = |stem: &str| HEX.chars().map(|digit| format!("{stem}{digit}")).collect::<Vec<_>>();
    let cuts = match prefix {
        "" => [vec!["p".to_owned()], digits("p"), vec!["q".to_owned()], digits("q"), vec!["r".to_owned()]]
            .concat(),
        _ => digits(prefix),
    };
    let mut begin = last.to_owned();
    let mut all = Vec::new();
    for cut in cuts.into_iter().filter(|cut| cut.as_str() > last) {
        all.push(Stretch { begin: std::mem::replace(&mut begin, cut.clone()), end: Some(cut) });
    }
    all.push(Stretch { begin, end: None });
    all
}

fn is_of_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"._-@=+".contains(&byte)
}

pub(super) fn subject(prefix: &str) -> String {
    if prefix.is_empty() { "blobs".to_owned() } else { format!("blobs {prefix}…") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_have_every_later_name_once() {
        let names = ["p0ff", "p1", "p10", "p9", "pa", "paa", "pf", "pfff", "pg", "pz", "p~"];
        for (prefix, last) in [("p", "p01"), ("", "kopia.repository"), ("", "p9"), ("p", "pz"), ("xn", "p")] {
            let all = stretches(prefix, last);
            for name in names {
                let found = all.iter().filter(|stretch| stretch.has(name)).count();
                assert_eq!(found, usize::from(name > last), "{prefix} {last} {name}");
            }
        }
        assert_eq!(stretches("p", "pz").len(), 1);
        assert_eq!(stretches("", "_log").len(), 36);
    }
}
