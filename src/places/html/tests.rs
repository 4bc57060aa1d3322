use proptest::prelude::*;

use super::super::url::tests::mapping;
use super::*;

fn links() -> Links {
    Links::new(mapping("https://shop.example", "shop.example", "/wiki"))
}

/// The page in pieces of these lengths, over and over.
fn in_pieces(page: &[u8], lengths: &[usize]) -> Vec<u8> {
    let (mut links, mut out, mut rest) = (links(), Vec::new(), page);
    for length in lengths.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (piece, after) = rest.split_at(rest.len().min(*length));
        out.extend(links.push(piece));
        rest = after;
    }
    out.extend(links.finish());
    out
}

fn put_right(page: &str) -> String {
    String::from_utf8(in_pieces(page.as_bytes(), &[usize::MAX])).unwrap()
}

#[test]
fn links_in_attributes_are_put_right_wherever_they_stand() {
    for (page, want) in [
        ("<a href=\"/x\">", "<a href=\"/wiki/x\">"),
        ("<A HREF='/x'>", "<A HREF='/wiki/x'>"),
        ("<a href=/x>", "<a href=/wiki/x>"),
        ("<a href=/x/>", "<a href=/wiki/x/>"),
        ("<a\n\thref = /x\nclass=y>", "<a\n\thref = /wiki/x\nclass=y>"),
        ("<a title='>' href=\"/x\">", "<a title='>' href=\"/wiki/x\">"),
        ("<a b href=\"/x\"c='/y'>", "<a b href=\"/wiki/x\"c='/y'>"),
        ("<a/href=\"/x\">", "<a/href=\"/wiki/x\">"),
        ("<a =href=\"/x\" href=' /y '>", "<a =href=\"/x\" href=' /wiki/y '>"),
        ("<form action=\"\"><input formaction=\"/x\">", "<form action=\"\"><input formaction=\"/wiki/x\">"),
        ("<base href=\"http://wiki:8080/\">", "<base href=\"https://shop.example/wiki/\">"),
        ("<img src=\"//wiki:8080/a.png\" alt>", "<img src=\"//shop.example/wiki/a.png\" alt>"),
        (
            "<img srcset=\"/a 1x, http://wiki:8080/b 2x\">",
            "<img srcset=\"/wiki/a 1x, https://shop.example/wiki/b 2x\">",
        ),
        ("<object data=\"/x\"><video poster=\"/y\">", "<object data=\"/wiki/x\"><video poster=\"/wiki/y\">"),
        ("<link imagesrcset='/a' href=x>", "<link imagesrcset='/wiki/a' href=x>"),
        ("<use xlink:href='/s.svg#x'/>", "<use xlink:href='/wiki/s.svg#x'/>"),
        ("<meta http-equiv=refresh content='5; url=/x'>", "<meta http-equiv=refresh content='5; url=/wiki/x'>"),
        ("<meta content=\"0;/x\" http-equiv=Refresh>", "<meta content=\"0;/wiki/x\" http-equiv=Refresh>"),
        ("<script src=\"/x\"></script>", "<script src=\"/wiki/x\"></script>"),
        ("<a href=\"&#x2F;x\">", "<a href=\"/wiki/x\">"),
        ("<a href=\"http&#58;&#47;&#47;wiki:8080&sol;x?a&amp;b\">", "<a href=\"https://shop.example/wiki/x?a&amp;b\">"),
        ("<a href=\"/a&amp;b?c=&quot;#x\">", "<a href=\"/wiki/a&amp;b?c=&quot;#x\">"),
        ("x < y <a href=/x> <3 </a> </", "x < y <a href=/wiki/x> <3 </a> </"),
        ("<!doctype html><a href=/x>", "<!doctype html><a href=/wiki/x>"),
        ("<?php ?><a href=/x>", "<?php ?><a href=/wiki/x>"),
        ("<!--><a href=/x>", "<!--><a href=/wiki/x>"),
        ("<!---><a href=/x>", "<!---><a href=/wiki/x>"),
        ("<!----!><a href=/x>", "<!----!><a href=/wiki/x>"),
        ("<!-><a href=/x>", "<!-><a href=/wiki/x>"),
        ("<!><a href=/x>", "<!><a href=/wiki/x>"),
        ("</><a href=/x>", "</><a href=/wiki/x>"),
        ("<svg><title/><a href=/x>", "<svg><title/><a href=/wiki/x>"),
        ("<style>a</style x='>'><a href=/x>", "<style>a</style x='>'><a href=/wiki/x>"),
        ("<title></titles></title><a href=/x>", "<title></titles></title><a href=/wiki/x>"),
        ("<svg><![CDATA[</a>]]]><a href=/x>", "<svg><![CDATA[</a>]]]><a href=/wiki/x>"),
    ] {
        assert_eq!(put_right(page), want);
        assert_eq!(put_right(want), want, "the second time");
    }
}

#[test]
fn all_else_of_a_page_stays_byte_for_byte() {
    for page in [
        "",
        "href=\"/x\"",
        "<a href=\"x\"><a href=\"?x\"><a href=\"#x\"><a href=\"//evil.example/x\"><a href=http://evil.example/>",
        "<a href=\"/wiki/x\"><a href=\"https://shop.example/wiki\">",
        "<a data-href=\"/x\" class=\"/x\" title='href=\"/x\"'>",
        "<!-- <a href=\"/x\"> --><!-- <a href=\"/x\">",
        "<!-- -- > <a href=/x> -->",
        "<!x <a href=/x>",
        "<script>'<a href=\"/x\">' </script",
        "<script>'<a href=\"/x\">' </scripts><a href=/x>",
        "<script/><a href=\"/x\">",
        "<TEXTAREA><a href=\"/x\"></textarea>",
        "<title><a href=\"/x\"></TITLE >",
        "<plaintext><a href=\"/x\"></plaintext><a href=\"/x\">",
        "<svg><![CDATA[<a href=\"/x\">]]></svg>",
        "<meta name=refresh content='5; url=/x'><meta http-equiv=x content='0;/x'>",
        "<p http-equiv=refresh content='5; url=/x'>",
        "</a href=\"/x\">",
        "<a href=\"/&#x2F;evil\"><a href=\"/&#9;/evil\"><a href=\"&#47/x\"><a href=\"/\t/evil\"><a href='/\\evil'>",
        "<a href=\"/x",
        "<a href=>",
    ] {
        assert_eq!(put_right(page), page);
    }
}

const PAGE: &str = "<!DOCTYPE html><!-- <a href='/c'> --><html><head><title>a </titl <b href=/t></title>\
    <meta http-equiv='refresh' content=\"3; URL='http://wiki:8080/r'\"><base href=http://wiki:8080/><script>if (a</b) \
    '<a href=\"/s\">'</script></head><body background='/bg'><svg><use xlink:href=/u /><![CDATA[<a href='/d'>]]></svg>\
    <img alt='a > b' srcset='/1 1x, /2 2x' src = \"&#x2F;3\"><form action=/f method=post></form>\
    <a href='https://evil.example/'>\u{e4}</a><plaintext><a href='/p'>";

#[test]
fn where_pieces_end_does_not_matter() {
    let whole = in_pieces(PAGE.as_bytes(), &[usize::MAX]);
    let text = String::from_utf8(whole.clone()).unwrap();
    assert_eq!(text.matches("/wiki/").count(), 8, "{text}");
    for length in 1..PAGE.len() {
        assert_eq!(in_pieces(PAGE.as_bytes(), &[length]), whole, "{length}");
        assert_eq!(in_pieces(PAGE.as_bytes(), &[length, usize::MAX]), whole, "{length}");
    }
}

#[test]
fn a_huge_tag_is_not_held() {
    let long = "x".repeat(3 * MAX_HELD);
    let (a, b) =
        (format!("<img src=\"/a\" alt=\"{long}\" srcset='/b'>"), format!("<img src=\"data:{long}\" longdesc=/c>"));
    let page = format!("{a}{b}<a href=/d {long}=/e href=/f>");
    let want = page.replace("/a", "/wiki/a").replace("/b", "/wiki/b").replace("/d", "/wiki/d").replace("/f", "/wiki/f");
    for length in [1, 1000, MAX_HELD, usize::MAX] {
        assert!(in_pieces(page.as_bytes(), &[length]) == want.as_bytes(), "{length}");
    }
    let mut links = links();
    let mut most = 0;
    for piece in page.as_bytes().chunks(1000) {
        links.push(piece);
        most = most.max(links.held.len());
    }
    assert!(most <= MAX_HELD, "{most}");
}

proptest! {
    #[test]
    fn pieces_never_matter_and_twice_is_as_once(
        parts in prop::collection::vec(prop_oneof![
            Just("<"), Just(">"), Just("/"), Just("a"), Just(" "), Just("href"), Just("="), Just("\""), Just("'"),
            Just("/x"), Just("http://wiki:8080"), Just("<!--"), Just("-->"), Just("-"), Just("!"), Just("<script"),
            Just("</script>"), Just("<svg>"), Just("<![CDATA["), Just("]]>"), Just("<meta content='1;/x'"),
            Just("http-equiv=refresh"), Just("srcset"), Just(","), Just("&#x2f;"), Just("&"), Just("\n")
        ], 0..40),
        lengths in prop::collection::vec(1..9_usize, 1..5),
    ) {
        let page = parts.concat();
        let whole = in_pieces(page.as_bytes(), &[usize::MAX]);
        prop_assert_eq!(&in_pieces(page.as_bytes(), &lengths), &whole);
        prop_assert_eq!(&in_pieces(&whole, &[usize::MAX]), &whole);
    }

    #[test]
    fn no_bytes_make_it_panic(page in prop::collection::vec(any::<u8>(), 0..200), length in 1..20_usize) {
        in_pieces(&page, &[length]);
    }
}
