//! Lists of the parts of an object.

use packhorse::object::{ObjectId, Segment, SegmentList};

pub fn check(data: &[u8]) {
    let Ok(list) = SegmentList::parse(data) else { return };
    assert!(!list.segments().is_empty());
    let mut end = 0;
    for segment in list.segments() {
        assert_eq!(segment.start, end);
        end += segment.length;
        check_object(segment);
    }
    assert_eq!(list.length(), end);
    let json = serde_json::to_vec(&list).expect("a list has only numbers and ids");
    let again = SegmentList::parse(&json).expect("what was written is read");
    assert_eq!(again, list);
    // Lists that other tools end in a newline, or follow by anything else.
    assert_eq!(SegmentList::parse(&[&json[..], b"\n{"].concat()).as_ref(), Ok(&list));
    assert_eq!(SegmentList::new(list.clone().into_segments()).segments(), list.segments());
}

fn check_object(segment: &Segment) {
    let id = segment.object;
    assert_eq!(id.to_string().parse::<ObjectId>().expect("what was printed is read"), id);
    assert_eq!(id.is_none(), id.content().is_none());
    match id.list() {
        Some(list) => assert_eq!(ObjectId::indirect(list), Some(id)),
        None => assert!(!id.is_directory() || id.content().is_some()),
    }
}
