//! An OpenID provider as a function from requests to answers.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use gatepass::client::challenge;
use gatepass::http::{Purpose, form};
use gatepass::jose::{Algorithms, Thumbprint, Unverified, VerificationKey, rust_crypto};
use gatepass::time::Timestamp;
use serde_json::{Value, json};

use super::{Key, Members, Reply, Sent, Token};

/// Changes a token before it is signed.
type Edit<T> = Box<dyn Fn(&mut T)>;

/// What a code or a refresh token stands for.
#[derive(Clone, Debug)]
struct Grant {
    client_id: String,
    redirect_uri: String,
    scope: String,
    challenge: String,
    nonce: Option<String>,
    auth_time: i64,
    /// The key that it is bound to.
    jkt: Option<String>,
}

/// A provider that does everything right until a test says otherwise.
pub(crate) struct Idp {
    pub(crate) issuer: String,
    /// Published at `jwks_uri`.
    pub(crate) keys: Vec<Key>,
    /// Published there too, as they stand.
    pub(crate) odd_keys: Vec<Value>,
    /// The place of the signing key among the keys.
    pub(crate) signs_with: usize,
    pub(crate) metadata: Value,
    /// `Cache-Control` of the key set.
    pub(crate) cache_control: Option<String>,
    pub(crate) subject: String,
    pub(crate) edit_id_token: Option<Edit<Token>>,
    /// Changes signed authorization responses (JARM).
    pub(crate) edit_authorization: Option<Edit<Token>>,
    pub(crate) edit_response: Option<Edit<Members>>,
    /// Instead of the ID token, whatever it is.
    pub(crate) raw_id_token: Option<String>,
    /// Whether a refresh gives a new refresh token and ends the old one.
    pub(crate) rotates: bool,
    /// What its opaque tokens stand for.
    pub(crate) opaque: BTreeMap<String, Members>,
    /// Signs its answers about tokens (RFC 9701), after this change.
    pub(crate) sign_answer: Option<Edit<Token>>,
    /// What it says of its user.
    pub(crate) user: Members,
    /// Signs what it says of its user, for the client `spa`, after this change.
    pub(crate) sign_user: Option<Edit<Token>>,
    /// Whether it binds tokens to the key of a proof (RFC 9449).
    pub(crate) binds: bool,
    /// What it wants to see in proofs.
    pub(crate) dpop_nonce: Option<String>,
    /// The claims of the proofs that it saw.
    pub(crate) proofs: Vec<Value>,
    /// Secrets that came up since somebody looked.
    pub(crate) issued: Vec<String>,
    replies: BTreeMap<&'static str, VecDeque<Reply>>,
    always: BTreeMap<&'static str, Reply>,
    codes: BTreeMap<String, Grant>,
    /// Authorization requests that were pushed, by their `request_uri`.
    pushed: BTreeMap<String, Vec<(String, String)>>,
    refresh_tokens: BTreeMap<String, Grant>,
    count: u32,
}

impl Idp {
    /// A provider with one ES256 key.
    pub(crate) fn new(issuer: &str) -> Self {
        Self::with_key(issuer, Key::new("k1", "ES256", 7))
    }

    /// A provider with this key.
    pub(crate) fn with_key(issuer: &str, key: Key) -> Self {
        let at = |path: &str| format!("{}{path}", issuer.trim_end_matches('/'));
        Self {
            issuer: issuer.into(),
            keys: vec![key],
            odd_keys: Vec::new(),
            signs_with: 0,
            metadata: json!({
                "issuer": issuer,
                "authorization_endpoint": at("/authorize"),
                "token_endpoint": at("/token"),
                "jwks_uri": at("/jwks"),
                "end_session_endpoint": at("/logout"),
                "introspection_endpoint": at("/introspect"),
                "revocation_endpoint": at("/revoke"),
                "userinfo_endpoint": at("/me"),
                "device_authorization_endpoint": at("/device"),
                "pushed_authorization_request_endpoint": at("/par"),
                "authorization_response_iss_parameter_supported": true,
                "code_challenge_methods_supported": ["S256"],
                "response_types_supported": ["code"],
            }),
            cache_control: None,
            subject: "user-1".into(),
            edit_id_token: None,
            edit_authorization: None,
            edit_response: None,
            raw_id_token: None,
            rotates: true,
            opaque: BTreeMap::new(),
            sign_answer: None,
            user: Members::default(),
            sign_user: None,
            binds: false,
            dpop_nonce: None,
            proofs: Vec::new(),
            issued: Vec::new(),
            replies: BTreeMap::new(),
            always: BTreeMap::new(),
            codes: BTreeMap::new(),
            pushed: BTreeMap::new(),
            refresh_tokens: BTreeMap::new(),
            count: 0,
        }
    }

    /// Scheme, host and port of the issuer.
    pub(crate) fn origin(&self) -> String {
        let mut parts = self.issuer.splitn(4, '/');
        let scheme = parts.next().unwrap();
        format!("{scheme}//{}/", parts.nth(1).unwrap())
    }

    /// The key that signs.
    pub(crate) fn key(&self) -> &Key {
        &self.keys[self.signs_with]
    }

    /// Ends all keys and begins with this one.
    pub(crate) fn rotate_to(&mut self, key: Key) {
        self.keys = vec![key];
        self.signs_with = 0;
    }

    /// The next answer of this kind, once.
    pub(crate) fn reply(&mut self, purpose: Purpose, reply: Reply) {
        self.replies
            .entry(purpose.name())
            .or_default()
            .push_back(reply);
    }

    /// Every answer of this kind from now on.
    pub(crate) fn always(&mut self, purpose: Purpose, reply: Reply) {
        self.always.insert(purpose.name(), reply);
    }

    /// Answers of this kind are right again.
    pub(crate) fn recover(&mut self, purpose: Purpose) {
        self.always.remove(purpose.name());
    }

    /// The key set as it is published.
    pub(crate) fn jwks(&self) -> Value {
        let keys = self.keys.iter().map(Key::jwk);
        json!({"keys": keys.chain(self.odd_keys.iter().cloned()).collect::<Vec<_>>()})
    }

    /// An access token as RFC 9068 section 2.2 describes it, for the API `api`.
    pub(crate) fn access_token(&self, now: Timestamp) -> Token {
        let mut token = Token::by(self.key(), "at+jwt");
        token
            .claims
            .set("iss", json!(self.issuer))
            .set("aud", json!("api"))
            .set("sub", json!(self.subject))
            .set("client_id", json!("spa"))
            .set("iat", now.seconds())
            .set("exp", now.seconds() + 300)
            .set("jti", json!("t-1"))
            .set("scope", json!("read write"));
        token
    }

    /// The user signs in and agrees: the URL to which the browser comes back.
    pub(crate) fn authorize(&mut self, url: &str, now: Timestamp) -> String {
        let (endpoint, query) = url.split_once('?').unwrap();
        assert_eq!(endpoint, self.metadata["authorization_endpoint"]);
        let mut parameters = form::decode(query).unwrap();
        if let Some(request_uri) = form::once(&parameters, "request_uri").unwrap() {
            // RFC 9126 section 4: what was pushed is used once.
            let request_uri = request_uri.to_owned();
            parameters = self.pushed.remove(&request_uri).unwrap();
        }
        if let Some(object) = form::once(&parameters, "request").unwrap() {
            // RFC 9101 section 6.3: what stands in the object counts, and nothing else.
            let claims = object.split('.').nth(1).unwrap();
            let claims: Value = serde_json::from_slice(&super::from_base64url(claims)).unwrap();
            assert_eq!(
                form::once(&parameters, "client_id").unwrap(),
                claims["client_id"].as_str()
            );
            let members = claims.as_object().unwrap().iter();
            parameters = members
                .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.into())))
                .collect();
        }
        let get = |name: &str| form::once(&parameters, name).unwrap().map(String::from);
        assert_eq!(get("response_type").as_deref(), Some("code"));
        assert_eq!(get("code_challenge_method").as_deref(), Some("S256"));
        let code = self.fresh("code");
        let grant = Grant {
            client_id: get("client_id").unwrap(),
            redirect_uri: get("redirect_uri").unwrap(),
            scope: get("scope").unwrap(),
            challenge: get("code_challenge").unwrap(),
            nonce: get("nonce"),
            auth_time: now.seconds(),
            jkt: get("dpop_jkt"),
        };
        let mut answer = form::Form::new();
        answer.push("code", &code);
        answer.push("state", &get("state").unwrap());
        if self.metadata["authorization_response_iss_parameter_supported"] == true {
            answer.push("iss", &self.issuer);
        }
        let (redirect_uri, client_id) = (grant.redirect_uri.clone(), grant.client_id.clone());
        self.codes.insert(code.clone(), grant);
        let mode = get("response_mode").unwrap_or_else(|| "query".into());
        let (place, is_signed) = match mode.as_str() {
            "jwt" => ("query", true),
            mode => match mode.strip_suffix(".jwt") {
                Some(place) => (place, true),
                None => (mode, false),
            },
        };
        if is_signed {
            let response = self.signed_response(&client_id, &code, &get("state").unwrap(), now);
            answer = form::Form::new();
            answer.push("response", &response);
        }
        let joint = match place {
            "query" => '?',
            "fragment" => '#',
            // Behind it stands the body of the POST.
            "form_post" => '\n',
            _ => panic!("a response mode that nobody knows"),
        };
        format!("{redirect_uri}{joint}{}", answer.encoded())
    }

    /// An authorization response as JARM section 2.1 describes it.
    fn signed_response(&self, client_id: &str, code: &str, state: &str, now: Timestamp) -> String {
        let mut token = Token::by(self.key(), "JWT");
        token
            .claims
            .set("iss", json!(self.issuer))
            .set("aud", json!(client_id))
            .set("exp", now.seconds() + 600)
            .set("code", json!(code))
            .set("state", json!(state));
        if let Some(edit) = &self.edit_authorization {
            edit(&mut token);
        }
        token.sign(self.key())
    }

    fn fresh(&mut self, kind: &str) -> String {
        self.count += 1;
        let text = format!("{kind}-S3CRET-{}-of-{}", self.count, self.issuer.len());
        self.issued.push(text.clone());
        text
    }

    /// Answers a request.
    pub(crate) fn answer(&mut self, sent: &Sent, now: Timestamp) -> Reply {
        let name = sent.purpose.name();
        if let Some(reply) = self.replies.get_mut(name).and_then(VecDeque::pop_front) {
            return reply;
        }
        if let Some(reply) = self.always.get(name) {
            return reply.clone();
        }
        match sent.purpose {
            Purpose::Discovery => Reply::json(&self.metadata),
            Purpose::Keys => {
                assert_eq!(sent.url, self.metadata["jwks_uri"]);
                let reply = Reply::json(self.jwks());
                match &self.cache_control {
                    Some(value) => reply.with_header("cache-control", value),
                    None => reply,
                }
            }
            Purpose::Token | Purpose::Refresh => {
                assert_eq!(sent.url, self.metadata["token_endpoint"]);
                let reply = self.token_endpoint(sent, now);
                match &self.dpop_nonce {
                    Some(nonce) => reply.with_header("dpop-nonce", nonce),
                    None => reply,
                }
            }
            Purpose::DeviceAuthorization => {
                assert_eq!(sent.url, self.metadata["device_authorization_endpoint"]);
                Reply::json(self.device_authorization())
            }
            Purpose::Introspection => {
                assert_eq!(sent.url, self.metadata["introspection_endpoint"]);
                self.introspect(sent, now)
            }
            Purpose::Revocation => {
                assert_eq!(sent.url, self.metadata["revocation_endpoint"]);
                self.revoke(&sent.field("token").unwrap())
            }
            Purpose::PushedRequest => {
                assert_eq!(
                    sent.url,
                    self.metadata["pushed_authorization_request_endpoint"]
                );
                if self.binds
                    && let Err(error) = self.read_proof(sent, now)
                {
                    let reply = Reply::json(json!({"error": error})).with_status(400);
                    return match &self.dpop_nonce {
                        Some(nonce) => reply.with_header("dpop-nonce", nonce),
                        None => reply,
                    };
                }
                self.count += 1;
                let request_uri = format!("urn:ietf:params:oauth:request_uri:{}", self.count);
                self.pushed.insert(request_uri.clone(), sent.form());
                Reply::json(json!({"request_uri": request_uri, "expires_in": 60})).with_status(201)
            }
            Purpose::UserInfo => {
                assert_eq!(sent.url, self.metadata["userinfo_endpoint"]);
                if self.binds
                    && let Err(error) = self.read_proof(sent, now)
                {
                    let challenge = format!("DPoP error=\"{error}\"");
                    let reply = Reply::body("").with_status(401);
                    let reply = reply.with_header("www-authenticate", &challenge);
                    return match &self.dpop_nonce {
                        Some(nonce) => reply.with_header("dpop-nonce", nonce),
                        None => reply,
                    };
                }
                self.userinfo()
            }
            _ => panic!("a request that nobody knows"),
        }
    }

    /// An opaque access token for the API `api`.
    pub(crate) fn opaque_token(&mut self, now: Timestamp) -> String {
        let token = self.fresh("opaque");
        let mut answer = Members::default();
        answer
            .set("active", true)
            .set("iss", json!(self.issuer))
            .set("aud", json!("api"))
            .set("sub", json!(self.subject))
            .set("client_id", json!("spa"))
            .set("token_type", json!("Bearer"))
            .set("iat", now.seconds())
            .set("exp", now.seconds() + 300)
            .set("scope", json!("read write"));
        self.opaque.insert(token.clone(), answer);
        token
    }

    /// RFC 7009, for its refresh tokens; access tokens end by themselves.
    fn revoke(&mut self, token: &str) -> Reply {
        self.refresh_tokens.remove(token);
        Reply::body("")
    }

    /// OpenID Connect Core section 5.3.2.
    fn userinfo(&mut self) -> Reply {
        let Some(edit) = &self.sign_user else {
            return Reply::json(&self.user);
        };
        let mut signed = Token::by(self.key(), "JWT");
        signed.claims = self.user.clone();
        signed
            .claims
            .set("iss", json!(self.issuer))
            .set("aud", json!("spa"));
        edit(&mut signed);
        let text = signed.sign(self.key());
        self.issued.push(text.clone());
        Reply::body(text).of_type("application/jwt")
    }

    fn introspect(&mut self, sent: &Sent, now: Timestamp) -> Reply {
        let token = sent.field("token").unwrap();
        let mut inactive = Members::default();
        inactive.set("active", false);
        let answer = self.opaque.get(&token).unwrap_or(&inactive);
        let Some(edit) = &self.sign_answer else {
            return Reply::json(answer);
        };
        let mut signed = Token::by(self.key(), "token-introspection+jwt");
        signed
            .claims
            .set("iss", json!(self.issuer))
            .set("aud", json!("rs"))
            .set("iat", now.seconds())
            .set("token_introspection", answer);
        edit(&mut signed);
        let text = signed.sign(self.key());
        self.issued.push(text.clone());
        Reply::body(text).of_type("application/token-introspection+jwt")
    }

    fn token_endpoint(&mut self, sent: &Sent, now: Timestamp) -> Reply {
        let refused = |error: &str| Reply::json(json!({"error": error})).with_status(400);
        let field = |name: &str| sent.field(name).unwrap_or_default();
        let jkt = match self.binds.then(|| self.read_proof(sent, now)) {
            None => None,
            Some(Ok(jkt)) => Some(jkt),
            Some(Err(error)) => return refused(error),
        };
        let (mut grant, is_refresh) = match field("grant_type").as_str() {
            "authorization_code" => {
                self.issued.push(field("code_verifier"));
                let Some(grant) = self.codes.remove(&field("code")) else {
                    return refused("invalid_grant");
                };
                if challenge(&field("code_verifier")) != grant.challenge
                    || field("redirect_uri") != grant.redirect_uri
                {
                    return refused("invalid_grant");
                }
                (grant, false)
            }
            "refresh_token" => {
                let known = self.refresh_tokens.get(&field("refresh_token")).cloned();
                let Some(grant) = known else {
                    return refused("invalid_grant");
                };
                if self.rotates {
                    self.refresh_tokens.remove(&field("refresh_token"));
                }
                (grant, true)
            }
            "client_credentials" => return Reply::json(self.machine_tokens()),
            "urn:ietf:params:oauth:grant-type:device_code" => {
                let grant = Grant {
                    client_id: field("client_id"),
                    redirect_uri: String::new(),
                    scope: "openid".into(),
                    challenge: String::new(),
                    nonce: None,
                    auth_time: now.seconds(),
                    jkt: None,
                };
                return Reply::json(self.tokens(grant, false, now));
            }
            _ => return refused("unsupported_grant_type"),
        };
        if grant.jkt.is_some() && grant.jkt != jkt {
            return refused("invalid_grant");
        }
        grant.jkt = jkt;
        if client_of(sent) != Some(grant.client_id.clone()) {
            return refused("invalid_client");
        }
        Reply::json(self.tokens(grant, is_refresh, now))
    }

    /// What client credentials give, before a test changes it.
    pub(crate) fn machine_tokens(&mut self) -> Members {
        let mut response = Members::default();
        let access_token = self.fresh("access");
        response
            .set("access_token", json!(access_token))
            .set(
                "token_type",
                json!(if self.binds { "DPoP" } else { "Bearer" }),
            )
            .set("expires_in", 300);
        if let Some(edit) = &self.edit_response {
            edit(&mut response);
        }
        response
    }

    /// What a device gets, before a test changes it.
    pub(crate) fn device_authorization(&mut self) -> Members {
        let mut response = Members::default();
        let device_code = self.fresh("device");
        response
            .set("device_code", json!(device_code))
            .set("user_code", json!("WDJB-MJHT"))
            .set("verification_uri", json!("https://as.example/activate"))
            .set("expires_in", 600)
            .set("interval", 5);
        response
    }

    /// The thumbprint of the key of a good proof.
    fn read_proof(&mut self, sent: &Sent, now: Timestamp) -> Result<String, &'static str> {
        let proof = sent.dpop.as_ref().ok_or("invalid_dpop_proof")?;
        let allowed = Algorithms::all();
        let token = Unverified::parse(proof, 10_000, &allowed).unwrap();
        let part = |index: usize| -> Value {
            let part = proof.split('.').nth(index).unwrap();
            serde_json::from_slice(&super::from_base64url(part)).unwrap()
        };
        let (header, claims) = (part(0), part(1));
        assert_eq!(header["typ"], "dpop+jwt");
        assert_eq!(header["alg"], "ES256");
        let members: Vec<_> = header["jwk"].as_object().unwrap().keys().collect();
        assert_eq!(members, ["crv", "kty", "x", "y"]);
        let key = VerificationKey::read(&super::options(&header["jwk"])).unwrap();
        let thumbprint = Thumbprint::of(&key).as_str().to_owned();
        let check = token.check(&Arc::new(key)).unwrap();
        assert!(rust_crypto::verify(&check));
        assert_eq!(claims["htm"], sent.method.name());
        assert_eq!(claims["htu"], sent.url);
        assert_eq!(claims["iat"], now.seconds());
        // Where a token goes along, the proof is for it.
        let authorization = sent.authorization.as_deref().unwrap_or_default();
        let ath = authorization.strip_prefix("DPoP ").map(|token| {
            use sha2::{Digest as _, Sha256};
            super::base64url(Sha256::digest(token))
        });
        assert_eq!(claims["ath"], json!(ath));
        self.proofs.push(claims.clone());
        match &self.dpop_nonce {
            Some(nonce) if claims["nonce"] != json!(nonce) => Err("use_dpop_nonce"),
            _ => Ok(thumbprint),
        }
    }

    fn tokens(&mut self, grant: Grant, is_refresh: bool, now: Timestamp) -> Members {
        let mut response = Members::default();
        let access_token = self.fresh("access");
        response
            .set("access_token", json!(access_token))
            .set(
                "token_type",
                json!(if self.binds { "DPoP" } else { "Bearer" }),
            )
            .set("expires_in", 300);
        if grant.scope.split(' ').any(|scope| scope == "openid") {
            let id_token = match &self.raw_id_token {
                Some(text) => text.clone(),
                None => self.id_token(&grant, is_refresh, &access_token, now),
            };
            self.issued.push(id_token.clone());
            response.set("id_token", json!(id_token));
        }
        if !is_refresh || self.rotates {
            let refresh_token = self.fresh("refresh");
            response.set("refresh_token", json!(refresh_token));
            self.refresh_tokens.insert(refresh_token, grant);
        }
        if let Some(edit) = &self.edit_response {
            edit(&mut response);
        }
        response
    }

    fn id_token(
        &self,
        grant: &Grant,
        is_refresh: bool,
        access_token: &str,
        now: Timestamp,
    ) -> String {
        let mut token = Token::by(self.key(), "JWT");
        token
            .claims
            .set("iss", json!(self.issuer))
            .set("sub", json!(self.subject))
            .set("aud", json!(grant.client_id))
            .set("exp", now.seconds() + 300)
            .set("iat", now.seconds())
            .set("auth_time", grant.auth_time)
            .set("at_hash", json!(at_hash(self.key().alg, access_token)));
        match &grant.nonce {
            Some(nonce) if !is_refresh => {
                token.claims.set("nonce", json!(nonce));
            }
            _ => {}
        }
        if let Some(edit) = &self.edit_id_token {
            edit(&mut token);
        }
        token.sign(self.key())
    }
}

/// Who asks: by `client_id`, or by the header of `client_secret_basic`.
fn client_of(sent: &Sent) -> Option<String> {
    let named = sent.field("client_id");
    named.or_else(|| {
        let basic = sent.authorization.as_deref()?.strip_prefix("Basic ")?;
        let basic = basic.trim_end_matches('=').replace('+', "-");
        let joined = super::from_base64url(&basic.replace('/', "_"));
        let joined = String::from_utf8(joined).unwrap();
        Some(joined.split(':').next().unwrap().into())
    })
}

/// OpenID Connect Core section 3.1.3.6, written again so that the two can differ.
pub(crate) fn at_hash(alg: &str, access_token: &str) -> String {
    use sha2::{Digest as _, Sha256, Sha384, Sha512};
    let text = access_token.as_bytes();
    let digest = match alg {
        "RS256" | "PS256" | "ES256" => Sha256::digest(text).to_vec(),
        "RS384" | "PS384" | "ES384" => Sha384::digest(text).to_vec(),
        _ => Sha512::digest(text).to_vec(),
    };
    super::base64url(&digest[..digest.len() / 2])
}
