//! Where a redirection may lead, and who gets the token.

use std::net::{IpAddr, Ipv6Addr};

use ureq::http::Uri;

/// Scheme, host and port: to whom the token may go.
pub fn same_origin(a: &Uri, b: &Uri) -> bool {
    let port = |uri: &Uri| {
        uri.port_u16().or(if uri.scheme_str() == Some("https") {
            Some(443)
        } else {
            Some(80)
        })
    };
    let host = |uri: &Uri| uri.host().map(str::to_ascii_lowercase);
    a.scheme() == b.scheme() && host(a) == host(b) && port(a) == port(b)
}

/// Whether the token can't be read on the way: it is encrypted, or does not leave this computer.
pub(super) fn may_have_token(uri: &Uri) -> bool {
    uri.scheme_str() == Some("https") || is_loopback(uri)
}

/// Whether the host is this computer, however names are resolved here.
pub(super) fn is_loopback(uri: &Uri) -> bool {
    let host = uri.host().unwrap_or_default();
    match host.trim_matches(['[', ']']).parse::<IpAddr>() {
        Ok(ip) => ip.to_canonical().is_loopback(),
        Err(_) => host.eq_ignore_ascii_case("localhost"),
    }
}

/// Where a redirect leads.
///
/// Not out of HTTPS, and not to this computer or its network, unless the endpoint is there itself:
/// a stranger's answer must not make us ask what only we can reach.
pub fn follow(endpoint: &Uri, from: &Uri, location: &str) -> Result<Uri, String> {
    let wrong = |why: &str| {
        format!(
            "it redirects to {}, {why}",
            location.chars().take(200).collect::<String>()
        )
    };
    let (scheme, authority) = (
        from.scheme_str().unwrap_or("https"),
        from.authority().map_or("", |a| a.as_str()),
    );
    let full = match location {
        full if full.starts_with("https://") || full.starts_with("http://") => full.to_owned(),
        rest if rest.starts_with("//") => format!("{scheme}:{rest}"),
        path if path.starts_with('/') => format!("{scheme}://{authority}{path}"),
        _ => return Err(wrong("which is no address that can be followed")),
    };
    let uri: Uri = full
        .split('#')
        .next()
        .unwrap_or_default()
        .parse()
        .map_err(|_| wrong("which is no address"))?;
    if uri
        .authority()
        .is_none_or(|authority| authority.as_str().contains('@'))
    {
        return Err(wrong("which names no host, or a password"));
    }
    // The parser takes `https://:[f:fff]/` and gives it an empty host.
    let host = uri.host().unwrap_or_default();
    let brackets = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    let is_malformed = brackets.map_or(host.contains(['[', ']', ':']), |ip| {
        ip.parse::<Ipv6Addr>().is_err()
    });
    if host.is_empty() || is_malformed {
        return Err(wrong("which names no host that can be asked"));
    }
    if uri.scheme_str() != Some("https") && endpoint.scheme_str() == Some("https") {
        return Err(wrong("which is not encrypted"));
    }
    if is_private(&uri) && !is_private(endpoint) {
        return Err(wrong("which is an address of this computer or its network"));
    }
    Ok(uri)
}

/// Whether the host is an address that means something else to everyone.
pub(super) fn is_private(uri: &Uri) -> bool {
    let host = uri
        .host()
        .unwrap_or_default()
        .trim_matches(['[', ']'])
        .trim_end_matches('.')
        .to_ascii_lowercase();
    match host.parse::<IpAddr>() {
        Ok(IpAddr::V4(ip)) => {
            ip.is_loopback() || ip.is_private() || ip.is_link_local() || ip.is_unspecified()
        }
        Ok(IpAddr::V6(ip)) => match ip.to_ipv4_mapped() {
            Some(ip) => {
                ip.is_loopback() || ip.is_private() || ip.is_link_local() || ip.is_unspecified()
            }
            None => {
                ip.is_loopback()
                    || ip.is_unspecified()
                    || ip.is_unique_local()
                    || ip.is_unicast_link_local()
            }
        },
        // Resolvers read `127.1`, `2130706433` and `0x7f000001` as addresses too.
        Err(_) => {
            let last = host.rsplit('.').next().unwrap_or_default();
            ["localhost", "local"].contains(&last)
                || last.starts_with("0x")
                || last.bytes().all(|b| b.is_ascii_digit())
        }
    }
}

/// Percent-encodes all but letters, digits, - _ . ~ and, in paths, the slash.
pub(super) fn escaped(text: &str, slash: bool) -> String {
    let each = |byte: u8| match byte {
        byte if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) => {
            char::from(byte).to_string()
        }
        b'/' if slash => "/".into(),
        byte => format!("%{byte:02X}"),
    };
    text.bytes().map(each).collect()
}
