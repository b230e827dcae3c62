//! What a request presents as its admin key.

use actix_web::HttpRequest;
use actix_web::http::header::AUTHORIZATION;

/// The one form that counts is a single `Authorization: Bearer <token>` header (RFC 6750, 2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Credential<'request> {
    Missing,
    /// Another scheme, no token, more than one header, or a token in the query as well.
    Malformed,
    Token(Token<'request>),
}

/// A presented token; its `Debug` shows nothing of it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Token<'request>(pub(crate) &'request [u8]);

impl std::fmt::Debug for Token<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("[REDACTED]")
    }
}

pub(crate) fn read(request: &HttpRequest) -> Credential<'_> {
    let in_query = request
        .query_string()
        .split('&')
        .any(|pair| pair.split_once('=').map_or(pair, |(name, _)| name) == "access_token");
    let mut headers = request.headers().get_all(AUTHORIZATION);

    match (headers.next(), headers.next(), in_query) {
        (None, _, false) => Credential::Missing,
        (Some(value), None, false) => read_header(value.as_bytes()),
        (None | Some(_), _, _) => Credential::Malformed,
    }
}

fn read_header(value: &[u8]) -> Credential<'_> {
    let Some((scheme, rest)) = value.split_at_checked("Bearer".len()) else {
        return Credential::Malformed;
    };
    let token = rest.trim_ascii_start();
    let separated = rest.first() == Some(&b' ');
    if !scheme.eq_ignore_ascii_case(b"Bearer") || !separated || token.is_empty() {
        return Credential::Malformed;
    }
    if !token.iter().all(u8::is_ascii_graphic) {
        return Credential::Malformed;
    }
    Credential::Token(Token(token))
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[track_caller]
    fn check(uri: &str, headers: &[&str], expected: Credential<'_>) {
        let mut request = TestRequest::with_uri(uri);
        for value in headers {
            request = request.append_header((AUTHORIZATION, *value));
        }
        let request = request.to_http_request();

        let credential = read(&request);

        assert_eq!(credential, expected);
    }

    #[test]
    fn the_scheme_is_case_insensitive_and_may_be_followed_by_spaces() {
        for value in ["Bearer key", "bearer key", "BEARER key", "bEaReR   key"] {
            check("/", &[value], Credential::Token(Token(b"key")));
        }
    }

    #[test]
    fn no_header_is_missing() {
        check("/?token=key&q=access_token", &[], Credential::Missing);
    }

    #[test]
    fn any_other_form_is_malformed() {
        let forms = [
            "",
            "Bearer",
            "Bearer ",
            "Bearerkey",
            "Bearer\tkey",
            "Basic a2V5",
            "key",
            "Bearer a b",
            "Bea",
        ];
        for value in forms {
            check("/", &[value], Credential::Malformed);
        }
    }

    #[test]
    fn a_second_header_is_malformed_even_when_both_are_the_same() {
        check("/", &["Bearer key", "Bearer key"], Credential::Malformed);
    }

    #[test]
    fn a_token_in_the_query_is_malformed_also_beside_a_header() {
        check("/?access_token=key", &[], Credential::Malformed);
        check("/?a=b&access_token", &["Bearer key"], Credential::Malformed);
    }

    #[test]
    fn the_debug_output_shows_no_token() {
        let credential = Credential::Token(Token(b"very-secret"));

        assert!(!format!("{credential:?}").contains("very"));
    }
}
