//! The entry points of the hub's fuzz targets in `tests/fuzz`.

use std::net::Ipv4Addr;

use ureq::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri};

use super::choose::{candidates, choose};
use super::http::{MOST_HOPS, follow, same_origin};
use super::listing::Listing;
use super::name::{Name, is_hex, is_safe};
use super::transfer::{Next, judge};

/// Reads the first line as a name, and the rest as the hub's list of files.
///
/// # Panics
/// Something unsafe came through.
pub fn hub(data: &[u8]) {
    let at = data
        .iter()
        .position(|&byte| byte == b'\n')
        .unwrap_or(data.len());
    let name = std::str::from_utf8(&data[..at])
        .ok()
        .and_then(|text| Name::parse(text).ok());
    if let Some(name) = &name {
        assert!(
            is_safe(&name.repo)
                && is_safe(name.revision())
                && name.quant.as_deref().is_none_or(is_safe)
        );
    }
    let Ok(listing) = Listing::parse("a/b", data.get(at + 1..).unwrap_or_default()) else {
        return;
    };
    assert!(is_hex(&listing.commit, 40));
    for (file, digest) in &listing.files {
        assert!(is_safe(&file.path) && (is_hex(digest.hex(), 40) || is_hex(digest.hex(), 64)));
    }
    let all = candidates(&listing.names());
    let quant = name.as_ref().and_then(|name| name.quant.as_deref());
    if let Ok(model) = choose("a/b", quant, &all) {
        assert!(
            model
                .files
                .iter()
                .all(|part| listing.files.iter().any(|(file, _)| file == part))
        );
    }
}

/// Reads the first line as the endpoint, and each of the others as a redirect from where the one
/// before it led.
///
/// # Panics
/// A redirect led out of HTTPS, to this computer or its network, or took the token along.
pub fn redirects(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let mut lines = text.lines();
    let Some(endpoint) = lines.next().and_then(|line| line.parse::<Uri>().ok()) else {
        return;
    };
    let Some(home) = endpoint
        .host()
        .filter(|_| matches!(endpoint.scheme_str(), Some("http" | "https")))
    else {
        return;
    };
    let mut from = endpoint.clone();
    for location in lines.take(MOST_HOPS) {
        let to = match follow(&endpoint, &from, location) {
            Ok(to) => to,
            Err(cause) => return assert!(cause.len() < 2000, "a message of {} bytes", cause.len()),
        };
        let host = to.host().expect("a host");
        assert!(
            !host.is_empty() && !to.authority().expect("a host").as_str().contains('@'),
            "{to}"
        );
        assert!(
            to.scheme_str() == Some("https") || endpoint.scheme_str() != Some("https"),
            "{to} is not encrypted"
        );
        if home.parse::<Ipv4Addr>().is_err() && is_name(home) {
            let address = address(host);
            assert!(
                !address
                    .is_some_and(|ip| ip.is_loopback() || ip.is_private() || ip.is_link_local()),
                "{to}"
            );
            assert!(
                !host.trim_end_matches('.').eq_ignore_ascii_case("localhost"),
                "{to}"
            );
        }
        if same_origin(&to, &endpoint) {
            assert!(
                to.scheme() == endpoint.scheme() && host.eq_ignore_ascii_case(home),
                "{to} gets the token"
            );
        }
        from = to;
    }
}

/// Whether a host is a name of the public network.
fn is_name(host: &str) -> bool {
    host.ends_with(".example")
}

/// The address that resolvers read in a host: up to four numbers, decimal, octal or hexadecimal.
fn address(host: &str) -> Option<Ipv4Addr> {
    let number = |text: &str| match text.to_ascii_lowercase().strip_prefix("0x") {
        // Rust's own parser takes a sign.
        _ if text.contains('+') => None,
        Some("") => Some(0),
        Some(hex) => u32::from_str_radix(hex, 16).ok(),
        None if text.len() > 1 && text.starts_with('0') => u32::from_str_radix(text, 8).ok(),
        None => text.parse().ok(),
    };
    let numbers: Vec<u32> = host
        .trim_end_matches('.')
        .split('.')
        .map(number)
        .collect::<Option<_>>()?;
    let (last, first) = numbers.split_last()?;
    let mut all = 0_u32;
    for (place, number) in first.iter().enumerate().take(3) {
        all |= u32::from(u8::try_from(*number).ok()?) << (24 - 8 * place);
    }
    (first.len() <= 3).then_some(Ipv4Addr::from(all | last))
}

/// Reads 18 bytes as how much of a file is there, how long it is, and the status of an answer, and
/// the rest as the answer's headers, a line each.
///
/// # Panics
/// Bytes would go to the wrong place.
pub fn content_range(data: &[u8]) {
    let Some((have, data)) = data.split_first_chunk() else {
        return;
    };
    let Some((whole, data)) = data.split_first_chunk() else {
        return;
    };
    let Some((status, data)) = data.split_first_chunk() else {
        return;
    };
    let (have, whole) = (u64::from_le_bytes(*have), u64::from_le_bytes(*whole));
    let Ok(status) = StatusCode::from_u16(u16::from_le_bytes(*status)) else {
        return;
    };
    // More is asked for only where something is missing.
    if have >= whole {
        return;
    }
    let mut headers = HeaderMap::new();
    for line in data.split(|&byte| byte == b'\n').take(100) {
        let Some(at) = line.iter().position(|&byte| byte == b':') else {
            continue;
        };
        let (name, value) = (&line[..at], line[at + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(name), HeaderValue::from_bytes(value))
        {
            headers.append(name, value);
        }
    }
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let length = text("content-length").and_then(|length| length.parse::<u64>().ok());
    match judge(status, &headers, have, whole) {
        Next::Append => {
            assert!(
                status == StatusCode::PARTIAL_CONTENT
                    && length.is_none_or(|length| length == whole - have)
            );
            let range = text("content-range").expect("a range").to_owned();
            let numbers: Vec<u64> = range["bytes ".len()..]
                .split(['-', '/'])
                .map(|n| n.parse().expect("a number"))
                .collect();
            assert_eq!(numbers, [have, whole - 1, whole], "{range}");
        }
        Next::Restart => {
            assert!(status == StatusCode::OK && length.is_none_or(|length| length == whole))
        }
        Next::Refuse { found } => assert!(have > 0 && found != whole),
        Next::Damaged { long } => assert_ne!(long, whole),
        Next::Again => {}
    }
}
