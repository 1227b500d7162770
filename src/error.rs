//! What can go wrong: one kind, one stable code and one hint per cause, grouped by who is to blame.
//!
//! An [`Error`] never holds a token, a code, a verifier, a secret or the text of an answer. It
//! says which rule was broken ([`ErrorKind`]) and at which claim, parameter or option ([`Field`]).

use core::fmt;
use std::borrow::Cow;

/// Who must change something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Blame {
    /// The program that called gatepass: an option or the order of calls.
    Config,
    /// The network between here and the provider, or a provider that is down.
    Network,
    /// The provider: an answer that breaks a specification or says no.
    Provider,
    /// The request that came in, or the callback URL.
    Request,
    /// The token that was shown.
    Token,
}

/// In which part of a conversation an error came up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Phase {
    /// Checking the authorization response.
    Callback,
    /// Reading options.
    Config,
    /// Fetching and checking the provider's metadata.
    Discovery,
    /// Exchanging the authorization code for tokens.
    Exchange,
    /// Checking the token of a request.
    Guard,
    /// Checking the ID token.
    IdToken,
    /// Asking the provider about an access token.
    Introspection,
    /// Fetching and reading the provider's keys.
    Keys,
    /// Renewing the access token.
    Refresh,
    /// Handing out what is there.
    Session,
    /// Building the authorization request.
    SignIn,
    /// Signing out at the provider.
    SignOut,
    /// Asking the provider about the user.
    UserInfo,
}

impl Phase {
    /// Every phase.
    pub const ALL: &'static [Self] = &[
        Self::Callback,
        Self::Config,
        Self::Discovery,
        Self::Exchange,
        Self::Guard,
        Self::IdToken,
        Self::Introspection,
        Self::Keys,
        Self::Refresh,
        Self::Session,
        Self::SignIn,
        Self::SignOut,
        Self::UserInfo,
    ];

    /// The name that JavaScript sees.
    pub fn name(self) -> &'static str {
        match self {
            Self::Callback => "callback",
            Self::Config => "config",
            Self::Discovery => "discovery",
            Self::Exchange => "exchange",
            Self::Guard => "guard",
            Self::IdToken => "id_token",
            Self::Introspection => "introspection",
            Self::Keys => "keys",
            Self::Refresh => "refresh",
            Self::Session => "session",
            Self::SignIn => "sign_in",
            Self::SignOut => "sign_out",
            Self::UserInfo => "userinfo",
        }
    }
}

/// Writes the enum, its list, codes and hints from one table, so that they cannot drift apart.
macro_rules! error_kinds {
    ($( $blame:ident { $( $(#[$doc:meta])* $kind:ident $code:literal $hint:literal )* } )*) => {
        /// Which rule was broken. The codes are stable: they are part of the public promise.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum ErrorKind { $($( $(#[$doc])* $kind, )*)* }

        impl ErrorKind {
            /// Every kind, in the order of the documentation.
            pub const ALL: &'static [Self] = &[ $($( Self::$kind, )*)* ];

            /// The stable code.
            pub fn code(self) -> &'static str {
                match self { $($( Self::$kind => $code, )*)* }
            }

            /// One sentence that says what is wrong and what to change.
            pub fn hint(self) -> &'static str {
                match self { $($( Self::$kind => $hint, )*)* }
            }

            /// Who must change something.
            pub fn blame(self) -> Blame {
                match self { $($( Self::$kind => Blame::$blame, )*)* }
            }
        }
    };
}

error_kinds! {
    Config {
        /// The program ended it itself.
        Aborted "aborted" "The AbortSignal of the call ended it before it was done; nothing is wrong."
        /// The shared cache holds something else than keys; told to the operator, never a reason to refuse.
        SharedCacheInvalid "shared_cache_invalid" "What the sharedCache returned is not what was put there for this issuer; it is ignored, so check who else writes to it."
        /// An option is unknown, missing, of the wrong type or outside its range.
        ConfigInvalid "config_invalid" "An option is unknown, missing, of the wrong type or out of range; correct the option that is named."
        /// The provider refuses our own credentials.
        CredentialsRefused "credentials_refused" "The provider refuses this program's own credentials; check clientId, the secret and the way of authentication."
        /// A flow was given an event that does not fit its state.
        FlowMisused "flow_misused" "The flow got an event that does not fit its state; send each step's answer once, to the flow that asked."
        /// A defect of gatepass itself.
        Internal "internal_error" "gatepass failed inside; please report this with the versions of gatepass and the runtime."
        /// The browser's account chooser cannot be used here.
        FedCmUnavailable "fedcm_unavailable" "The browser has no FedCM for this page: it lacks it, a Permissions-Policy forbids identity-credentials-get, mode active needs a click, or another request is open; sign in by redirect."
        /// The browser did not let a popup open.
        PopupBlocked "popup_blocked" "The browser blocked the popup; call signInPopup() directly in the handler of a click, or let it go on as a redirect."
        /// Provider and page share no site.
        SilentUnavailable "silent_unavailable" "Provider and page share no site that is known, so browsers keep the provider's cookies out of a frame; use refresh tokens or signIn({ prompt: 'none' }), or name the shared domain with site."
        /// No one is signed in, or the session cannot be renewed.
        LoginRequired "login_required" "There is no session to use; call signIn() first."
        /// A store held something that is no session of this client.
        StorageInvalid "storage_invalid" "The store held something that is no session of this client (another version's, another client's, or changed by someone); it was removed, so sign in again."
        /// The place for pending logins cannot be used.
        StorageUnavailable "storage_unavailable" "The storage refuses to read or write; allow site data for this page, or choose another transactionStore or store."
        /// The caller's clock gave no usable time.
        TimeInvalid "time_invalid" "The clock gave no usable time; check Date.now()."
        /// The host offers no WebCrypto or lacks the algorithm.
        UnsupportedHost "unsupported_host" "The runtime lacks a function this needs (WebCrypto, or this algorithm in it); use https or localhost and a current runtime."
        /// An API wants the user to sign in anew or in another way (RFC 9470).
        StepUpRequired "step_up_required" "The API wants a fresher or stronger sign-in; call signIn() with what details.acrValues and details.maxAge ask for."
        /// A URL is not https, or is http beyond loopback.
        UrlInsecure "url_insecure" "The URL must be https; http is accepted for loopback only, with dangerouslyAllowHttpLoopback."
    }
    Network {
        /// So many questions about tokens are under way that no more are asked.
        IntrospectionBusy "introspection_busy" "Too many access tokens are being introspected at the same time; try again shortly, or raise introspection.concurrency."
        /// Keys are not here and cannot be fetched at the moment.
        KeysUnavailable "keys_unavailable" "The provider's keys cannot be fetched at the moment and none are cached; try again shortly."
        /// Keys serve on although their time is over; told to the operator, never a reason to refuse.
        KeysStale "keys_stale" "The provider's keys could not be renewed in time and the old ones serve on, up to 24 hours after they were fetched; check the provider and the way to it."
        /// The provider redirected an endpoint that must answer itself.
        RedirectRefused "redirect_refused" "The endpoint answered with a redirect, which is never followed; configure the final URL."
        /// The place where used proofs are remembered does not answer.
        ReplayStoreUnavailable "replay_store_unavailable" "The replayStore threw or answered neither true nor false; nothing that it guards is accepted until it answers."
        /// An answer was larger than its limit.
        ResponseTooLarge "response_too_large" "The answer is larger than allowed; check that the URL is the provider's."
        /// The shared cache does not answer; told to the operator, never a reason to refuse.
        SharedCacheUnavailable "shared_cache_unavailable" "The sharedCache threw or did not answer in time; keys are fetched from the provider instead, so check the cache."
        /// An HTTP status that no specification foresees here.
        UpstreamStatus "upstream_status" "The provider answered with an unexpected HTTP status; see details.status and check the URL and the provider's health."
        /// No answer in time.
        UpstreamTimeout "upstream_timeout" "The provider did not answer in time; try again or raise timeout."
        /// No answer at all.
        UpstreamUnreachable "upstream_unreachable" "The provider cannot be reached; check the network and, in a page, that its CORS rules and this page's connect-src allow this origin."
    }
    Provider {
        /// The JWK Set cannot be read.
        JwksInvalid "jwks_invalid" "The provider's key set is not a usable JWK Set; check jwks_uri."
        /// The provider's metadata cannot be used.
        MetadataInvalid "metadata_invalid" "The provider's metadata lacks something or contradicts the issuer; the issuer must equal the metadata's issuer letter by letter."
        /// The provider rules out PKCE with S256.
        PkceUnsupported "pkce_unsupported" "The provider's metadata does not offer PKCE with S256, which every sign-in uses."
        /// An answer is not what its specification asks for.
        ResponseMalformed "response_malformed" "The provider's answer is not what the specification asks for at the named place."
        /// The provider answered with an OAuth error.
        ServerErrorResponse "server_error_response" "The provider refused; details.error holds its error code."
        /// The token type is neither Bearer nor one that was asked for.
        TokenTypeUnsupported "token_type_unsupported" "The provider issued a token type that cannot be used here."
    }
    Request {
        /// The callback carries no authorization code.
        CodeMissing "code_missing" "The callback has neither a code nor an error; open it from the provider's redirect only."
        /// A popup or frame did not come back in time.
        WindowTimeout "window_timeout" "The provider did not send the popup or frame back in time; check that the page at redirectUri calls relayCallback() and that the provider can be shown there."
        /// A request carries its credentials more than once.
        CredentialMultiple "credential_multiple" "The request carries more than one credential; send one Authorization header."
        /// The request carries no credentials.
        CredentialMissing "credential_missing" "The request carries no access token in a scheme that is accepted here; send it as Authorization: Bearer, or DPoP where the dpop option asks for it."
        /// The proof of possession is missing, malformed or about another request (RFC 9449).
        DpopInvalid "dpop_invalid" "The DPoP proof is missing, malformed, too old or made for another request, token or key, at the named place; make a new one for each request."
        /// The proof of possession was used before.
        DpopReplayed "dpop_replayed" "This DPoP proof was used before; the client must make a new one with a new jti for each request."
        /// The callback's login took too long.
        FlowExpired "flow_expired" "The sign-in took longer than allowed; start it again."
        /// The callback was used before.
        FlowReused "flow_reused" "This callback was used before (reload, back button or second click); start a new sign-in."
        /// The popup was closed before the provider sent it back.
        PopupClosed "popup_closed" "The popup was closed before the sign-in was complete; offer to start it again."
        /// The browser's account chooser gave no token, and browsers do not say why.
        FedCmDismissed "fedcm_dismissed" "The browser gave no token and says why in its console alone: the user closed the dialog now or lately, or is not signed in at the provider, or the provider's configuration is wrong; sign in by redirect."
        /// No login waits for this callback.
        FlowUnknown "flow_unknown" "No sign-in of this browser waits for this callback; it was started in another tab or browser, or storage was cleared. Start it again from this page."
        /// The callback's issuer is another one (RFC 9207).
        IssMismatch "iss_mismatch" "The callback names another issuer than the one the sign-in was sent to; it is refused as a mix-up."
        /// The callback names no issuer although the provider says it does (RFC 9207).
        IssMissing "iss_missing" "The provider says that it names itself in callbacks, but this callback names no issuer."
        /// A request to the back channel is not a form with one logout token.
        LogoutRequestInvalid "logout_request_invalid" "The request is not a POST of a form with one logout_token of at most 64 KiB; only the provider calls this endpoint."
        /// The return from signing out belongs to another sign-out than the one that waits.
        LogoutStateMismatch "logout_state_mismatch" "The state of this return from the provider is not the one of the sign-out; the session ended when the user left, so show the page as signed out and follow no link of it."
        /// The return from signing out carries no state.
        LogoutStateMissing "logout_state_missing" "This return from signing out has no state; either the provider does not hand it back, or the page was opened by hand. The session ended when the user left."
        /// No sign-out waits for this return.
        LogoutUnknown "logout_unknown" "No sign-out of this browser waits for this return (reload, back button, ten minutes over, storage cleared, or another page than postLogoutRedirectUri). The session ended when the user left."
        /// A parameter has characters, a length or a repetition that it may not have.
        ParamInvalid "param_invalid" "A parameter of the callback is repeated, too long or has characters that it may not have."
        /// The Authorization header is malformed.
        RequestInvalid "request_invalid" "The Authorization header is malformed; send Authorization: Bearer, one space and the token."
        /// The authorization response came in a form that was not asked for.
        ResponseModeMismatch "response_mode_mismatch" "The provider answered in another response mode than was asked for; check responseMode."
        /// The state belongs to no login of this client.
        StateMismatch "state_mismatch" "The callback's state is not that of a sign-in of this tab; it may be another tab's. Start it again from this page."
        /// The callback carries no state.
        StateMissing "state_missing" "The callback has no state; open it from the provider's redirect only."
        /// The proof of possession lacks a fresh nonce of this server (RFC 9449 section 9).
        UseDpopNonce "use_dpop_nonce" "The DPoP proof carries no nonce of this server or an old one; the client must repeat the request with the nonce of the DPoP-Nonce header."
    }
    Token {
        /// The user signed in in another way than was asked for.
        AcrInsufficient "acr_insufficient" "The ID token's acr is missing or none of those that acrValues or an essential claim asked for; the provider did not sign the user in that way."
        /// The algorithm is not on the list.
        AlgNotAllowed "alg_not_allowed" "The token's algorithm is not on the list of allowed algorithms."
        /// The token is for someone else.
        AudienceMismatch "audience_mismatch" "The token is meant for another audience; check audience here and resource or audience at the client."
        /// The login is older than max_age allows.
        AuthTooOld "auth_too_old" "The user signed in longer ago than max_age allows; sign in again."
        /// How or when the user signed in is not enough for the request (RFC 9470).
        AuthenticationInsufficient "authentication_insufficient" "The request needs a stronger or more recent sign-in than the token tells of; sign in again with the acr_values or max_age of the challenge."
        /// The authorized party is another client.
        AzpMismatch "azp_mismatch" "The ID token's azp is missing beside several audiences or names another client."
        /// The token is bound to a key that the request does not prove, or the reverse.
        BindingMismatch "binding_mismatch" "The token's binding (cnf) and what the request proves do not fit: a bound token needs its DPoP proof or client certificate, and the DPoP scheme needs a token bound to the proof's key."
        /// A claim has the wrong type or a value outside its range.
        ClaimInvalid "claim_invalid" "The named claim has the wrong type or a value that it may not have."
        /// A required claim is absent.
        ClaimMissing "claim_missing" "The named claim is required and absent."
        /// The header marks an extension as critical that is not understood.
        CritUnsupported "crit_unsupported" "The token's header demands an extension (crit) that is not supported."
        /// A hash does not fit what it stands for.
        HashMismatch "hash_mismatch" "The ID token's at_hash, c_hash or s_hash does not fit the access token, code or state that it came with."
        /// Issued in the future.
        IssuedInFuture "issued_in_future" "The token was issued in the future; check both clocks."
        /// The issuer is not one of the configured ones.
        IssuerMismatch "issuer_mismatch" "The token's iss is not the configured issuer letter by letter (mind a trailing slash)."
        /// More keys fit than may be tried.
        KeyAmbiguous "key_ambiguous" "Several keys of the provider fit this token; the provider must name the key with kid."
        /// The provider has no such key.
        KeyNotFound "key_not_found" "The provider publishes no key that fits this token's kid and algorithm."
        /// A key exists, but must not be used for this.
        KeyUnsuitable "key_unsuitable" "The key is too weak, malformed or not meant for this algorithm."
        /// The logout token was used before.
        LogoutTokenReplayed "logout_token_replayed" "This logout token was used before; the provider must make a new one with a new jti for each sign-out."
        /// The nonce is missing, another one or unexpected.
        NonceMismatch "nonce_mismatch" "The ID token's nonce is not the one of this sign-in."
        /// The token lacks a permission that the request needs.
        PermissionInsufficient "permission_insufficient" "The token lacks a permission that this request needs; check where the profile looks for permissions."
        /// The program's own predicate said no.
        PredicateRefused "predicate_refused" "The predicate of this request's need returned something else than true, or threw."
        /// The token lacks a role that the request needs.
        RoleInsufficient "role_insufficient" "The token lacks a role that this request needs; check where the profile looks for roles."
        /// The token lacks a scope that the request needs.
        ScopeInsufficient "scope_insufficient" "The token lacks a scope that this request needs."
        /// The signature does not fit.
        SignatureInvalid "signature_invalid" "The token's signature does not verify with the provider's key."
        /// The token's life is over.
        TokenExpired "token_expired" "The token has expired; get a new one, or check both clocks."
        /// The provider says that the token is not active.
        TokenInactive "token_inactive" "The provider says that the token is not active: it expired, was revoked, or was never issued."
        /// Not a signed token at all.
        TokenMalformed "token_malformed" "The token is not a well-formed signed JWT (JWS compact serialization)."
        /// The token's life has not begun.
        TokenNotActive "token_not_active" "The token is not valid yet (nbf); check both clocks."
        /// Issued longer ago, or for longer, than this guard allows.
        TokenTooOld "token_too_old" "The token was issued too long ago or lives longer than maxTokenAge or maxTokenLifetime allow; get a new one."
        /// Longer than the limit.
        TokenTooLarge "token_too_large" "The token or its header is larger than allowed."
        /// The request needs a user, and the token was issued to a client for itself.
        UserRequired "user_required" "This request needs a token that was issued for a user; this one was issued to a client for itself, or its provider does not say."
        /// The token is of another kind.
        TypMismatch "typ_mismatch" "The token's typ says that it is another kind of token."
    }
}

impl ErrorKind {
    /// Whether the same call may succeed a little later with nothing changed.
    pub fn retryable(self) -> bool {
        matches!(
            self,
            Self::IntrospectionBusy
                | Self::KeysUnavailable
                | Self::ReplayStoreUnavailable
                | Self::UpstreamStatus
                | Self::UpstreamTimeout
                | Self::UpstreamUnreachable
        )
    }
}

/// The claim, parameter, member or option that an error is about; empty when it is about none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Field(Cow<'static, str>);

impl Field {
    /// The name of an option that the program gave; other text than a name becomes `option`.
    pub(crate) fn option(name: &str) -> Self {
        let is_name = (1..=64).contains(&name.len())
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'));
        if is_name {
            Self(Cow::Owned(name.into()))
        } else {
            Self(Cow::Borrowed("option"))
        }
    }

    /// The name of a claim that a profile of the program gave; other text than a name becomes
    /// `claim`. Never the name of a claim that a token brought.
    #[cfg(feature = "guard")]
    pub(crate) fn claim(name: &str) -> Self {
        let is_name = (1..=128).contains(&name.len())
            && name.bytes().all(|byte| {
                byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b':' | b'/')
            });
        Self(Cow::Owned(if is_name { name } else { "claim" }.into()))
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.0
    }
}

impl From<&'static str> for Field {
    fn from(name: &'static str) -> Self {
        Self(Cow::Borrowed(name))
    }
}

/// What the provider said of its refusal, cut and cleaned: for people who look for the cause.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Details {
    /// The HTTP status of its answer.
    pub status: Option<u16>,
    /// Its `error` code (RFC 6749 section 5.2).
    pub error: Option<String>,
    /// Its `error_description`, at most 512 characters, without control characters.
    pub error_description: Option<String>,
    /// The scope that an API asks for (RFC 6750 section 3.1).
    pub scope: Option<String>,
    /// How an API wants the user to sign in (RFC 9470 section 3).
    pub acr_values: Option<String>,
    /// How old the sign-in may be for an API, in seconds (RFC 9470 section 3).
    pub max_age: Option<u32>,
    /// In how many seconds it is worth asking again.
    pub retry_after: Option<u32>,
    /// What came in place of an answer, at most 512 characters: text without markup and without
    /// anything that could be a secret.
    pub snippet: Option<String>,
    /// By how many seconds this clock is ahead of the provider's; behind it, when negative.
    pub clock_offset: Option<i32>,
    /// What the provider calls the request (`X-Request-Id`), to look for it in its logs.
    pub request_id: Option<String>,
}

/// The longest text of a provider that is passed on.
#[cfg(feature = "flows")]
const DESCRIPTION_CHARS: usize = 512;

/// What a provider may send as text: printable, on one line, no direction marks, and short.
///
/// See RFC 6749 appendix A.7 and A.8: the values are printable ASCII. Providers do send other
/// letters; those stay, what could fake a screen does not.
#[cfg(feature = "flows")]
pub(crate) fn clean(text: &str) -> String {
    text.chars()
        .filter(|c| {
            !c.is_control()
                && !matches!(c, '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{FEFF}')
        })
        .take(DESCRIPTION_CHARS)
        .collect()
}

/// One broken rule and where it was broken.
///
/// One pointer wide: nearly every function of the core returns it, and each byte would be moved in
/// each of them.
#[derive(Clone, PartialEq, Eq)]
pub struct Error(Box<Fault>);

#[derive(Clone, PartialEq, Eq)]
struct Fault {
    kind: ErrorKind,
    at: Field,
    phase: Option<Phase>,
    details: Option<Details>,
    /// What it came up in cannot be done once more.
    is_final: bool,
}

/// Where an error is about that there is no randomness.
pub(crate) const NO_RANDOMNESS: &str = "crypto.getRandomValues";

impl Error {
    /// A broken rule at a claim, parameter or option.
    pub fn new(kind: ErrorKind, at: impl Into<Field>) -> Self {
        Self(Box::new(Fault {
            kind,
            at: at.into(),
            phase: None,
            details: None,
            is_final: false,
        }))
    }

    /// Says in which part of the conversation it came up, unless that is known already.
    #[must_use]
    pub fn during(mut self, phase: Phase) -> Self {
        self.0.phase.get_or_insert(phase);
        self
    }

    /// Adds what the provider said.
    #[must_use]
    pub(crate) fn with_details(mut self, details: Details) -> Self {
        self.0.details = Some(details);
        self
    }

    /// Says by how much this clock is ahead of the provider's.
    #[must_use]
    #[cfg(feature = "flows")]
    pub(crate) fn clock_off(mut self, seconds: i64) -> Self {
        self.0.details.get_or_insert_default().clock_offset = i32::try_from(seconds).ok();
        self
    }

    /// Says in how many seconds it is worth asking again.
    #[must_use]
    #[cfg(any(feature = "flows", feature = "guard"))]
    pub(crate) fn retry_after(mut self, seconds: u32) -> Self {
        self.0.details.get_or_insert_default().retry_after = Some(seconds);
        self
    }

    /// Says that the same call cannot succeed later: what it needs is used up.
    #[must_use]
    #[cfg(feature = "flows")]
    pub(crate) fn for_good(mut self) -> Self {
        self.0.is_final = true;
        self
    }

    /// The same place under another rule: a member that is malformed in a token is a defect of the
    /// token, in an answer one of the provider.
    #[must_use]
    pub(crate) fn recast(mut self, kind: ErrorKind) -> Self {
        self.0.kind = kind;
        self
    }

    /// Which rule was broken.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The stable code of the rule.
    pub fn code(&self) -> &'static str {
        self.kind().code()
    }

    /// One sentence that says what is wrong and what to change.
    pub fn hint(&self) -> &'static str {
        // Whoever gives a page a secret has not chosen a wrong value but the wrong place.
        #[cfg(not(feature = "backend"))]
        if self.kind() == ErrorKind::ConfigInvalid
            && matches!(self.at(), "clientAuth" | "clientSecret")
        {
            return "A page cannot keep a secret: leave this option out there, or use createClient from gatepass/backend on a server or in a program of its own.";
        }
        if self.at() == NO_RANDOMNESS {
            return ErrorKind::UnsupportedHost.hint();
        }
        #[cfg(feature = "flows")]
        if self.kind() == ErrorKind::FlowUnknown && self.at() == "redirect_uri" {
            return "The callback came to another URL than redirectUri; behind a proxy pass the URL that the browser asked for.";
        }
        self.kind().hint()
    }

    /// The hint and, where the circumstances name one, the likely cause.
    pub fn advice(&self) -> String {
        let mut advice = String::from(self.hint());
        #[cfg(feature = "flows")]
        if let Some(cause) = self.cause() {
            advice.push(' ');
            advice.push_str(cause);
        }
        if let Some(offset) = self.details().and_then(|details| details.clock_offset) {
            advice.push_str(" By the token's iat this clock is ");
            advice.push_str(&offset.unsigned_abs().to_string());
            advice.push_str(if offset < 0 {
                " seconds behind the provider's."
            } else {
                " seconds ahead of the provider's."
            });
        }
        advice
    }

    /// What is most often behind a refusal, by the provider's code and the part of the conversation.
    #[cfg(feature = "flows")]
    fn cause(&self) -> Option<&'static str> {
        let details = self.details()?;
        Some(
            match (self.kind(), self.phase(), details.error.as_deref()) {
                (ErrorKind::UpstreamStatus, Some(Phase::Discovery), _)
                    if details.status == Some(404) =>
                {
                    "Nothing is published there; check the issuer's path, such as its realm or tenant."
                }
                // Who is busy has not looked.
                _ if self.retryable() => return None,
                (ErrorKind::ServerErrorResponse | ErrorKind::LoginRequired, phase, Some(code)) => {
                    match (phase, code) {
                        (Some(Phase::Exchange), "invalid_grant") => {
                            "Most often what was shown, such as a code, was used before or is too old, or redirectUri is not the one of the sign-in."
                        }
                        (Some(Phase::Refresh), "invalid_grant") => {
                            "The provider ended the session, or its refresh token was used elsewhere; sign in again."
                        }
                        (_, "invalid_client") => {
                            "It does not know clientId, or expects another way of authentication; a page is registered as a public client."
                        }
                        (_, "unauthorized_client") => {
                            "This client may not do that; allow the grant that it uses, such as authorization code and refresh tokens, where it is registered."
                        }
                        (_, "invalid_scope") => {
                            "A scope is unknown there or not allowed for this client."
                        }
                        (_, "invalid_target") => {
                            "It does not know what resource or audience names."
                        }
                        (_, "invalid_request" | "redirect_uri_mismatch") => {
                            "A parameter is missing or not allowed; at a sign-in most often redirectUri is not registered letter by letter."
                        }
                        (_, "access_denied") => "The user said no, or a rule of the provider did.",
                        (
                            _,
                            "login_required"
                            | "interaction_required"
                            | "consent_required"
                            | "account_selection_required",
                        ) => "It has to ask the user; sign in without prompt none.",
                        _ => return None,
                    }
                }
                _ => return None,
            },
        )
    }

    /// The claim, parameter or option; empty when there is none.
    pub fn at(&self) -> &str {
        self.0.at.name()
    }

    /// In which part of the conversation it came up.
    pub fn phase(&self) -> Option<Phase> {
        self.0.phase
    }

    /// What the provider said.
    pub fn details(&self) -> Option<&Details> {
        self.0.details.as_ref()
    }

    /// Whether the same call may succeed a little later with nothing changed.
    ///
    /// An unexpected HTTP status counts as passing only when it says so: 429 and 5xx, whatever words the
    /// answer has. Nothing does once what the call needs, such as a code, is used up.
    pub fn retryable(&self) -> bool {
        let status = self.details().and_then(|details| details.status);
        let says_so = status.map(|status| status == 429 || status >= 500);
        let may_pass = match self.kind() {
            ErrorKind::ServerErrorResponse => says_so == Some(true),
            kind => kind.retryable() && says_so != Some(false),
        };
        may_pass && !self.0.is_final
    }
}

impl From<ErrorKind> for Error {
    fn from(kind: ErrorKind) -> Self {
        Self::new(kind, "")
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())?;
        if !self.at().is_empty() {
            f.write_str(" (")?;
            f.write_str(self.at())?;
            f.write_str(")")?;
        }
        f.write_str(": ")?;
        f.write_str(&self.advice())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Error(")?;
        fmt::Display::fmt(self, f)?;
        f.write_str(")")
    }
}

impl core::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_distinct_and_hints_are_sentences() {
        let mut codes: Vec<_> = ErrorKind::ALL.iter().map(|kind| kind.code()).collect();
        codes.sort_unstable();
        let count = codes.len();
        codes.dedup();
        assert_eq!(codes.len(), count);
        for kind in ErrorKind::ALL {
            assert!(kind.hint().ends_with('.'), "{kind:?}");
            assert!(kind.hint().len() > 30, "{kind:?}");
        }
    }

    #[test]
    fn hints_name_the_likely_cause() {
        let all = [
            ("upstream_unreachable", "CORS"),
            ("popup_blocked", "click"),
            ("flow_unknown", "another tab"),
            ("issuer_mismatch", "slash"),
            ("issued_in_future", "clock"),
            ("token_expired", "clock"),
            ("silent_unavailable", "signIn({ prompt: 'none' })"),
        ];
        for (code, cause) in all {
            let mut hints = ErrorKind::ALL.iter().filter(|kind| kind.code() == code);
            assert!(hints.any(|kind| kind.hint().contains(cause)), "{code}");
        }
    }

    #[test]
    fn what_is_not_a_name_is_not_repeated() {
        assert_eq!(Field::option("audiance").name(), "audiance");
        assert_eq!(Field::option("eyJ hbG").name(), "option");
        assert_eq!(Field::option("").name(), "option");
        assert_eq!(Field::option(&"a".repeat(65)).name(), "option");
    }

    #[cfg(feature = "flows")]
    #[test]
    fn provider_text_is_cut_and_cleaned() {
        assert_eq!(clean("no\r\n\u{202e}way\u{7}"), "noway");
        assert_eq!(clean(&"x".repeat(9000)).len(), 512);
    }

    #[test]
    fn only_statuses_that_pass_are_retryable() {
        let status = |status| {
            Error::from(ErrorKind::UpstreamStatus)
                .with_details(Details {
                    status: Some(status),
                    ..Details::default()
                })
                .retryable()
        };
        assert!(status(503) && status(429));
        assert!(!status(404));
        assert!(!Error::from(ErrorKind::TokenExpired).retryable());
    }
}
