//! The files of the page: what they are, and how long they count. No I/O.

use std::fmt::Write;

/// The page itself.
pub const INDEX: &str = "index.html";
/// What is said where the page was not built.
pub const NOT_BUILT: &str = "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Slipway</title></head><body>\n\
     <h1>The dashboard is not built</h1>\n\
     <p>This program was built without its pages. In the source tree, run <code>make ui</code>, which needs Node, and then build it again.</p>\n\
     <p>Everything that the pages show is also told by <code>kubectl slipway</code>.</p>\n</body></html>\n";

/// What a file is, by its name.
pub fn content_type(path: &str) -> &'static str {
    let ending = path.rsplit_once('.').map_or("", |(_, ending)| ending);
    match ending {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "json" | "map" => "application/json",
        "webmanifest" => "application/manifest+json",
        "woff2" => "font/woff2",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

/// How long a file counts: those that are named after what is in them for ever, the others until they are asked about again.
pub fn cache_control(path: &str) -> &'static str {
    if path.starts_with("assets/") {
        "public, max-age=31536000, immutable"
    } else {
        "no-cache"
    }
}

/// What tells one version of a file from another.
pub fn etag(hash: &[u8]) -> String {
    let mut tag = String::from("\"");
    for byte in hash {
        // Writing to a String cannot fail.
        let _ = write!(tag, "{byte:02x}");
    }
    tag.push('"');
    tag
}

/// Whether a browser has this version already, as its `If-None-Match` says.
pub fn is_known(if_none_match: Option<&str>, etag: &str) -> bool {
    let tags = if_none_match.into_iter().flat_map(|tags| tags.split(','));
    let mut tags = tags.map(|tag| tag.trim().trim_start_matches("W/"));
    tags.any(|tag| tag == etag || tag == "*")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_what_their_names_say() {
        assert_eq!(
            content_type("assets/app-1a2b.js"),
            "text/javascript; charset=utf-8"
        );
        assert_eq!(content_type("index.html"), "text/html; charset=utf-8");
        assert_eq!(content_type("LICENSE"), "application/octet-stream");
    }

    #[test]
    fn the_page_itself_is_always_asked_about() {
        assert_eq!(cache_control(INDEX), "no-cache");
        assert!(cache_control("assets/app-1a2b.js").contains("immutable"));
    }

    #[test]
    fn what_a_browser_has_is_not_sent_again() {
        let tag = etag(&[1, 0xab]);
        assert_eq!(tag, "\"01ab\"");
        assert!(is_known(Some("\"x\", W/\"01ab\""), &tag));
        assert!(!is_known(Some("\"01\""), &tag));
        assert!(!is_known(None, &tag));
    }

    #[test]
    fn who_has_no_page_is_told_how_to_build_it() {
        assert!(NOT_BUILT.contains("make ui"));
        assert!(!NOT_BUILT.contains("<script") && !NOT_BUILT.contains("style"));
    }
}
