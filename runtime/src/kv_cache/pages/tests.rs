use super::{PageId, Pages, PrefixHash};

fn prefix(tokens: &[u32]) -> PrefixHash {
    PrefixHash::root(b"").after(tokens)
}

fn check(pages: &Pages, tables: &[&[PageId]]) {
    let checked = pages.check(tables.iter().copied());
    assert_eq!(checked, Ok(()));
}

#[test]
fn pages_are_taken_in_order_and_run_out() {
    let mut pages = Pages::new();
    assert_eq!(pages.take(), None);
    pages.grow_to(2);
    assert_eq!(
        (pages.take(), pages.take(), pages.take()),
        (Some(0), Some(1), None)
    );
    pages.grow_to(3);
    assert_eq!(
        (pages.take(), pages.in_use(), pages.free()),
        (Some(2), 3, 0)
    );
    pages.release(1);
    assert_eq!(pages.take(), Some(1));
    check(&pages, &[&[0, 1, 2]]);
}

#[test]
fn a_page_is_found_until_it_is_needed_the_oldest_first() {
    let mut pages = Pages::new();
    pages.grow_to(3);
    let taken: Vec<_> = std::iter::from_fn(|| pages.take()).collect();
    for (&page, tokens) in taken.iter().zip([[1], [2], [3]]) {
        pages.remember(page, prefix(&tokens));
    }
    for page in [2, 0, 1] {
        pages.release(page);
    }
    check(&pages, &[]);
    assert_eq!((pages.free(), pages.find(&prefix(&[1]))), (3, Some(0)));
    pages.share(0);
    check(&pages, &[&[0]]);
    // The page that was let go of first is needed first.
    assert_eq!(pages.take(), Some(2));
    assert_eq!(pages.find(&prefix(&[3])), None);
    assert_eq!(pages.take(), Some(1));
    assert_eq!(pages.take(), None);
    check(&pages, &[&[0], &[2, 1]]);
}

#[test]
fn one_page_is_remembered_for_a_prefix() {
    let mut pages = Pages::new();
    pages.grow_to(2);
    let (first, second) = (pages.take().expect("free"), pages.take().expect("free"));
    pages.remember(first, prefix(&[1]));
    pages.remember(second, prefix(&[1]));
    assert_eq!(pages.find(&prefix(&[1])), Some(first));
    assert!(!pages.is_private(first) && pages.is_private(second));
    pages.release(second);
    pages.release(first);
    // The blank page goes first.
    assert_eq!(pages.take(), Some(second));
    check(&pages, &[&[second]]);
}

#[test]
fn prefixes_depend_on_all_tokens_before_and_on_the_salt() {
    let a = PrefixHash::root(b"a").after(&[1, 2]).after(&[3]);
    assert_eq!(a, PrefixHash::root(b"a").after(&[1, 2]).after(&[3]));
    assert_ne!(a, PrefixHash::root(b"b").after(&[1, 2]).after(&[3]));
    assert_ne!(a, PrefixHash::root(b"a").after(&[2, 1]).after(&[3]));
}

#[test]
fn a_wrong_count_is_found() {
    let mut pages = Pages::new();
    pages.grow_to(2);
    let page = pages.take().expect("free");
    assert!(pages.check([].into_iter()).is_err());
    assert!(pages.check([&[page, page][..]].into_iter()).is_err());
    check(&pages, &[&[page]]);
}
