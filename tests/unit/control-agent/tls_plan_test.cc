// Every field of the TLS contexts, into what the library is asked for; and where a mistake is said to be.
#include "control-agent/tls_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control-agent/field_table.h"
#include "control-agent/loader.h"
#include "control-agent/validate_rules.h"
#include "tests/unit/control-agent/tls_files.h"

namespace millrace::agent {
namespace {

using test::Directory;
using test::make_pair;
using test::quoted;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

struct Outcome {
  ContextPlan plan;
  bool failed = false;
  std::vector<std::string> errors;
  std::vector<WatchedFile> files;
};

/// `secrets`: a list of Secret, for static_resources.
Outcome plan(tls::Role role, const std::string& yaml, const std::string& secrets = "[]") {
  SourceMap places;
  Diagnostics diagnostics(&places);
  TlsSource source;
  source.role = role;
  if (role == tls::Role::kServer) {
    parse_text(yaml, "t", {}, source.downstream, places, diagnostics);
    check_fields(source.downstream, "", diagnostics);
  } else {
    parse_text(yaml, "t", {}, source.upstream, places, diagnostics);
    check_fields(source.upstream, "", diagnostics);
  }
  envoy::service::discovery::v3::DiscoveryResponse wrapped;
  parse_text("{resources: " + secrets + "}", "s", {}, wrapped, places, diagnostics);
  auto known = std::make_shared<StaticSecrets>();
  for (const auto& any : wrapped.resources()) {
    FoundSecret found;
    any.UnpackTo(&found.secret);
    found.site.path = "secrets." + found.secret.name();
    known->by_name.emplace(found.secret.name(), found);
  }
  source.secrets = known;
  FileReader files;
  SecretReader reader(*source.secrets, nullptr, files, diagnostics);
  Outcome out{.plan = plan_context(source, reader), .failed = false, .errors = {}, .files = files.take_files()};
  out.failed = reader.failed();
  for (const auto& error : diagnostics.errors()) {
    out.errors.push_back((error.file == "t" ? "" : error.file + ": ") + error.path + ": " + error.reason);
  }
  return out;
}
Outcome server(const std::string& yaml, const std::string& secrets = "[]") { return plan(tls::Role::kServer, yaml, secrets); }
Outcome client(const std::string& yaml, const std::string& secrets = "[]") { return plan(tls::Role::kClient, yaml, secrets); }

const std::string kCertificates =
    "tls_certificates: [{certificate_chain: {inline_string: chain}, private_key: {inline_string: key}}]";
/// A server with a certificate; `common` and `more` are further fields.
Outcome server_with(const std::string& common, const std::string& more = "") {
  return server("{common_tls_context: {" + kCertificates + (common.empty() ? "" : ", " + common) + "}" +
                (more.empty() ? "" : ", " + more) + "}");
}
const std::string kSecret = "\"@type\": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret";

TEST(TlsPlan_Server, HasEnvoysDefaults) {
  const auto out = server_with("");
  EXPECT_THAT(out.errors, IsEmpty());
  const auto& config = out.plan.config;
  EXPECT_EQ(config.role, tls::Role::kServer);
  EXPECT_EQ(config.least_version, tls::Version::kTls12);
  EXPECT_EQ(config.most_version, tls::Version::kTls13);
  ASSERT_THAT(config.certificates, SizeIs(1));
  EXPECT_EQ(config.certificates[0].chain, "chain");
  EXPECT_EQ(config.certificates[0].key, "key");
  EXPECT_FALSE(config.validation);
  EXPECT_FALSE(config.require_client_certificate);
  EXPECT_TRUE(config.tickets);
  EXPECT_EQ(config.session_lifetime, Duration::seconds(7200));
}

TEST(TlsPlan_Server, TakesEveryField) {
  const std::string key(80, 'k');
  const auto out = server_with(
      "tls_params: {tls_minimum_protocol_version: TLSv1_3, cipher_suites: [A, '[B|C]'], ecdh_curves: [X25519, P-256], "
      "signature_algorithms: [rsa_pss_rsae_sha256]}, alpn_protocols: [h2, http/1.1], validation_context: {trusted_ca: "
      "{inline_string: ca}}",
      "require_client_certificate: true, require_sni: true, session_timeout: 60s, ocsp_staple_policy: MUST_STAPLE, "
      "full_scan_certs_on_sni_mismatch: true, session_ticket_keys: {keys: [{inline_string: " +
          key + "}]}");
  EXPECT_THAT(out.errors, IsEmpty());
  const auto& config = out.plan.config;
  EXPECT_EQ(config.least_version, tls::Version::kTls13);
  EXPECT_EQ(config.ciphers, "A:[B|C]");
  EXPECT_THAT(config.curves, ElementsAre("X25519", "P-256"));
  EXPECT_THAT(config.signature_algorithms, ElementsAre("rsa_pss_rsae_sha256"));
  EXPECT_THAT(config.protocols, ElementsAre("h2", "http/1.1"));
  EXPECT_EQ(config.validation->trusted_ca, "ca");
  EXPECT_TRUE(config.require_client_certificate);
  EXPECT_TRUE(config.require_server_name);
  EXPECT_EQ(config.session_lifetime, Duration::seconds(60));
  EXPECT_EQ(config.ocsp_policy, tls::OcspPolicy::kMustStaple);
  EXPECT_TRUE(config.full_scan_certs_on_sni_mismatch);
  EXPECT_THAT(config.ticket_keys, ElementsAre(key));
  EXPECT_FALSE(server_with("", "disable_stateless_session_resumption: true").plan.config.tickets);
}

TEST(TlsPlan_Client, TakesEveryField) {
  const auto out = client("{sni: a.example, max_session_keys: 0, common_tls_context: {" + kCertificates + "}}");
  EXPECT_THAT(out.errors, IsEmpty());
  EXPECT_EQ(out.plan.config.role, tls::Role::kClient);
  EXPECT_EQ(out.plan.config.server_name, "a.example");
  EXPECT_FALSE(out.plan.config.resume);
  EXPECT_EQ(out.plan.config.most_version, tls::Version::kTls12);  // Envoy's default for clients
  EXPECT_THAT(out.plan.config.certificates, SizeIs(1));
  const auto newest = client("{common_tls_context: {tls_params: {tls_maximum_protocol_version: TLSv1_3}}}");
  EXPECT_EQ(newest.plan.config.most_version, tls::Version::kTls13);
  EXPECT_TRUE(newest.plan.config.resume);
}

TEST(TlsPlan_Certificates, ComeFromFilesBytesAndTheEnvironment) {
  const Directory directory;
  const std::string chain = directory.write("chain.pem", "file chain");
  setenv("MILLRACE_TEST_KEY", "environment key", 1);
  const auto out = server("{common_tls_context: {tls_certificates: [{certificate_chain: {filename: " + chain +
                          "}, private_key: {environment_variable: MILLRACE_TEST_KEY}, password: {inline_bytes: c2VjcmV0}, "
                          "ocsp_staple: {inline_bytes: b2NzcA==}}, {pkcs12: {inline_bytes: cDEy}}]}}");
  EXPECT_THAT(out.errors, IsEmpty());
  const auto& certificates = out.plan.config.certificates;
  ASSERT_THAT(certificates, SizeIs(2));
  EXPECT_EQ(certificates[0].chain, "file chain");
  EXPECT_EQ(certificates[0].key, "environment key");
  EXPECT_EQ(certificates[0].password, "secret");
  EXPECT_EQ(certificates[0].ocsp_response, "ocsp");
  EXPECT_EQ(certificates[1].chain, "p12");
  EXPECT_EQ(certificates[1].key, "");
  EXPECT_EQ(out.plan.certificates[0].chain.file, chain);
  ASSERT_THAT(out.files, SizeIs(1));
  EXPECT_EQ(out.files[0].path, chain);
}

TEST(TlsPlan_Certificates, MustBeComplete) {
  EXPECT_THAT(server("{common_tls_context: {tls_certificates: [{certificate_chain: {inline_string: x}}]}}").errors,
              ElementsAre("common_tls_context.tls_certificates[0].private_key: must be set: a certificate is of no use without "
                          "its key"));
  EXPECT_THAT(server("{common_tls_context: {tls_certificates: [{private_key: {inline_string: x}}]}}").errors,
              ElementsAre("common_tls_context.tls_certificates[0].certificate_chain: must be set: a certificate is of no use "
                          "without its chain"));
  EXPECT_THAT(
      server("{common_tls_context: {tls_certificates: [{pkcs12: {inline_bytes: cDEy}, private_key: {inline_string: x}}]}}")
          .errors,
      ElementsAre("common_tls_context.tls_certificates[0].pkcs12: cannot be set together with certificate_chain or "
                  "private_key: it holds both"));
  EXPECT_THAT(server("{}").errors, ElementsAre("common_tls_context: needs tls_certificates or "
                                               "tls_certificate_sds_secret_configs: a server has to show a certificate"));
  EXPECT_THAT(server("{common_tls_context: {tls_certificates: [{certificate_chain: {inline_string: x}, private_key: "
                     "{inline_string: x}, ocsp_staple: {inline_string: x}}]}}")
                  .errors,
              ElementsAre("common_tls_context.tls_certificates[0].ocsp_staple.inline_string: cannot hold an OCSP response, which "
                          "is binary: use inline_bytes or filename"));
  EXPECT_THAT(client("{common_tls_context: {tls_certificates: [{pkcs12: {inline_bytes: eA==}}, {pkcs12: {inline_bytes: "
                     "eA==}}]}}")
                  .errors,
              ElementsAre("common_tls_context.tls_certificates: must hold one certificate at most: a client has no way to "
                          "choose, holds 2"));
}

TEST(TlsPlan_Parameters, AreChecked) {
  EXPECT_THAT(server_with("tls_params: {tls_minimum_protocol_version: TLSv1_1}").errors,
              ElementsAre("common_tls_context.tls_params.tls_minimum_protocol_version: TLSv1_1 is not supported: versions below "
                          "TLS 1.2 must not be used any more (RFC 8996); use TLSv1_2 or TLSv1_3"));
  EXPECT_THAT(server_with("tls_params: {tls_minimum_protocol_version: TLSv1_3, tls_maximum_protocol_version: TLSv1_2}").errors,
              ElementsAre("common_tls_context.tls_params.tls_maximum_protocol_version: is below tls_minimum_protocol_version"));
  EXPECT_THAT(server_with("alpn_protocols: ['']").errors,
              ElementsAre("common_tls_context.alpn_protocols[0]: must have 1 to 255 bytes, has 0"));
  EXPECT_THAT(server_with("", "session_ticket_keys: {keys: [{inline_string: short}]}").errors,
              ElementsAre("session_ticket_keys.keys[0]: a session ticket key has 80 bytes, this one has 5; make one with: "
                          "openssl rand 80"));
}

TEST(TlsPlan_Validation, TakesEveryField) {
  const std::string hash(64, 'a');
  std::string colons;
  for (int i = 0; i < 32; ++i) colons += (i > 0 ? ":AB" : "AB");
  const auto out = server_with(
      "validation_context: {trusted_ca: {inline_string: ca}, crl: {inline_string: crl}, "
      "only_verify_leaf_cert_crl: true, verify_certificate_hash: [" +
      hash + ", '" + colons +
      "'], verify_certificate_spki: ['NvqYIYSbgK2vCJpQhObf77vv+bQWtc5ek5RIOwPiC9A='], "
      "match_typed_subject_alt_names: [{san_type: URI, matcher: {prefix: 'spiffe://a/'}}], "
      "allow_expired_certificate: true, trust_chain_verification: ACCEPT_UNTRUSTED, max_verify_depth: "
      "3}");
  EXPECT_THAT(out.errors, IsEmpty());
  const auto& validation = *out.plan.config.validation;
  EXPECT_EQ(validation.crl, "crl");
  EXPECT_TRUE(validation.crl_of_leaf_only);
  ASSERT_THAT(validation.certificate_hashes, SizeIs(2));
  EXPECT_EQ(validation.certificate_hashes[0][31], 0xaa);
  EXPECT_EQ(validation.certificate_hashes[1][0], 0xab);
  ASSERT_THAT(validation.public_key_hashes, SizeIs(1));
  EXPECT_EQ(validation.public_key_hashes[0][0], 0x36);
  EXPECT_TRUE(validation.accept_expired);
  EXPECT_TRUE(validation.accept_untrusted);
  EXPECT_EQ(validation.most_intermediates, 2U);  // the authority counts for Envoy
  const tls::SubjectName good[] = {{tls::NameKind::kUri, "spiffe://a/b"}};
  const tls::SubjectName bad[] = {{tls::NameKind::kDns, "spiffe://a/b"}};
  EXPECT_TRUE(validation.accepts_names(good));
  EXPECT_FALSE(validation.accepts_names(bad));
}

TEST(TlsPlan_Validation, IsChecked) {
  const std::string at = "common_tls_context.validation_context.";
  const std::string missing = "needs trusted_ca: without it anybody can make a certificate ";
  EXPECT_THAT(server_with("validation_context: {crl: {inline_string: crl}}").errors,
              ElementsAre(at + "crl: " + missing + "that is not on the list"));
  EXPECT_THAT(server_with("validation_context: {match_subject_alt_names: [{exact: a}]}").errors,
              ElementsAre(at + "match_subject_alt_names: " + missing + "with such a name"));
  EXPECT_THAT(server_with("validation_context: {verify_certificate_spki: [abc]}").errors,
              ElementsAre(at + "verify_certificate_spki[0]: must be the SHA-256 of a public key in base64"));
  EXPECT_THAT(server_with("validation_context: {verify_certificate_hash: ['" + std::string(64, 'x') + "']}").errors,
              ElementsAre(at + "verify_certificate_hash[0]: must be a SHA-256 in hexadecimal, with or without colons; for a "
                               "certificate: openssl x509 -noout -fingerprint -sha256"));
  EXPECT_THAT(server_with("validation_context: {trusted_ca: {inline_string: a}, match_typed_subject_alt_names: [{san_type: "
                          "OTHER_NAME, matcher: {exact: a}}]}")
                  .errors,
              ElementsAre(at + "match_typed_subject_alt_names[0].san_type: OTHER_NAME is not supported yet: use EMAIL, DNS, URI "
                               "or IP_ADDRESS"));
  EXPECT_THAT(server_with("", "require_client_certificate: true").errors,
              ElementsAre("require_client_certificate: needs a validation context that says whom to believe: trusted_ca, or "
                          "certificates by their hash; without it every certificate would do"));
  EXPECT_THAT(
      server_with("validation_context: {trust_chain_verification: ACCEPT_UNTRUSTED}", "require_client_certificate: true").errors,
      IsEmpty());
}

TEST(TlsPlan_Secrets, AreFoundByTheirName) {
  const std::string secrets =
      "[{" + kSecret +
      ", name: cert, tls_certificate: {certificate_chain: {inline_string: a}, private_key: {inline_string: "
      "b}}}, {" +
      kSecret + ", name: ca, validation_context: {trusted_ca: {inline_string: c}}}]";
  const auto out = server(
      "{common_tls_context: {tls_certificate_sds_secret_configs: [{name: cert}], validation_context_sds_secret_config: {name: "
      "ca}}}",
      secrets);
  EXPECT_THAT(out.errors, IsEmpty());
  EXPECT_EQ(out.plan.config.certificates.at(0).key, "b");
  EXPECT_EQ(out.plan.config.validation->trusted_ca, "c");
  EXPECT_THAT(server("{common_tls_context: {tls_certificate_sds_secret_configs: [{name: ca}]}}", secrets).errors,
              ElementsAre("common_tls_context.tls_certificate_sds_secret_configs[0].name: the secret \"ca\" must hold a "
                          "tls_certificate, and holds a validation_context"));
  EXPECT_THAT(server("{common_tls_context: {tls_certificate_sds_secret_configs: [{name: nobody}]}}", secrets).errors,
              ElementsAre("common_tls_context.tls_certificate_sds_secret_configs[0].name: there is no secret \"nobody\" in "
                          "static_resources.secrets; give it there, or an sds_config with its file"));
}

TEST(TlsPlan_Secrets, MergeIntoTheDefaultAsEnvoyDoes) {
  const std::string secrets = "[{" + kSecret +
                              ", name: ca, validation_context: {trusted_ca: {inline_string: theirs}, crl: {filename: /none}, "
                              "allow_expired_certificate: true, verify_certificate_hash: [bad]}}]";
  const auto out = client(
      "{common_tls_context: {combined_validation_context: {default_validation_context: {trusted_ca: {inline_string: ours}, "
      "max_verify_depth: 1, verify_certificate_hash: [wrong], match_subject_alt_names: [{exact: a}]}, "
      "validation_context_sds_secret_config: {name: ca}}}}",
      secrets);
  EXPECT_EQ(out.plan.config.validation->trusted_ca, "theirs");
  EXPECT_TRUE(out.plan.config.validation->accept_expired);
  EXPECT_EQ(out.plan.config.validation->most_intermediates, 0U);
  // Each mistake is where it was written.
  ASSERT_THAT(out.errors, SizeIs(3));
  EXPECT_THAT(out.errors[0], testing::StartsWith("secrets.ca.validation_context.crl.filename: the file \"/none\" cannot"));
  EXPECT_THAT(out.errors[1], testing::StartsWith("common_tls_context.combined_validation_context.default_validation_context."
                                                 "verify_certificate_hash[0]: "));
  EXPECT_THAT(out.errors[2], testing::StartsWith("secrets.ca.validation_context.verify_certificate_hash[0]: "));
}

TEST(TlsPlan_Secrets, ComeFromFilesThatAreWatchedToo) {
  const Directory directory;
  const std::string key = directory.write("key.pem", "the key");
  const std::string sds = directory.write(
      "sds.json", "{\"resources\": [{" +
                      std::string("\"@type\": \"type.googleapis.com/envoy.extensions.transport_sockets.tls.v3."
                                  "Secret\"") +
                      ", \"name\": \"cert\", \"tls_certificate\": {\"certificate_chain\": {\"inline_string\": \"a\"}, "
                      "\"private_key\": {\"filename\": \"" +
                      key + "\"}}}]}");
  for (const std::string& source : {"path: " + sds, "path_config_source: {path: " + sds + "}"}) {
    const auto out = server("{common_tls_context: {tls_certificate_sds_secret_configs: [{name: cert, sds_config: {" + source +
                            ", resource_api_version: V3}}]}}");
    EXPECT_THAT(out.errors, IsEmpty());
    EXPECT_EQ(out.plan.config.certificates.at(0).key, "the key");
    EXPECT_THAT(out.files, SizeIs(2));
  }
}

TEST(TlsPlan_Secrets, SayWhereInAFileTheMistakeIs) {
  const Directory directory;
  const auto with = [&](const std::string& text) {
    const std::string sds = directory.write("sds.yaml", text);
    return server("{common_tls_context: {tls_certificate_sds_secret_configs: [{name: cert, sds_config: {path: " + sds + "}}]}}")
        .errors;
  };
  const std::string file = directory.path("sds.yaml");
  EXPECT_THAT(with("resources:\n- " + kSecret + "\n  name: other\n  tls_certificate: {}\n"),
              ElementsAre("common_tls_context.tls_certificate_sds_secret_configs[0].name: the file \"" + file +
                          "\" holds no secret \"cert\"; it holds \"other\""));
  EXPECT_THAT(
      with("resources:\n- " + kSecret + "\n  name: cert\n  tls_certificate:\n    certificate_chain: {inline_string: x}\n"),
      ElementsAre(file + ": resources[0].tls_certificate.private_key: must be set: a certificate is of no use without "
                         "its key"));
  EXPECT_THAT(with("resources:\n- \"@type\": type.googleapis.com/google.protobuf.Duration\n  value: 1s\n"),
              ElementsAre(file + ": resources[0]: the type \"type.googleapis.com/google.protobuf.Duration\" is not supported"));
  EXPECT_THAT(with("resources: [\n"), SizeIs(1));
}

TEST(TlsPlan_Secrets, AreNeverShown) {
  const Directory directory;
  const std::string sds =
      directory.write("sds.yaml", "resources:\n- " + kSecret +
                                      "\n  name: cert\n  tls_certificate:\n    certificate_chain: {inline_string: "
                                      "x}\n    private_key: SECRET\n    password: {inline_bytes: SE-CRET!}\n");
  for (const auto& error :
       server("{common_tls_context: {tls_certificate_sds_secret_configs: [{name: cert, sds_config: {path: " + sds +
              "}}], "
              "tls_certificates: [{private_key: SECRET, password: {inline_bytes: SE-CRET!}}]}}")
           .errors) {
    EXPECT_THAT(error, testing::Not(testing::HasSubstr("CRET"))) << error;
    EXPECT_THAT(error, testing::Not(testing::IsEmpty()));
  }
}

TEST(TlsPlan_Blame, FindsTheFieldAndTheFile) {
  const Directory directory;
  const std::string chain = directory.write("chain.pem", "x");
  const auto out = server("{common_tls_context: {tls_certificates: [{certificate_chain: {filename: " + chain +
                          "}, private_key: {inline_string: k}}], validation_context: {trusted_ca: {inline_string: c}}}}");
  using Part = tls::ContextError::Part;
  const auto said = [&](Part part, std::size_t index = 0) {
    const auto [site, text] = blame(out.plan, {part, index, "bad"});
    return site.path + ": " + text;
  };
  EXPECT_EQ(said(Part::kCertificate),
            "common_tls_context.tls_certificates[0].certificate_chain: the file \"" + chain + "\": bad");
  EXPECT_EQ(said(Part::kKey), "common_tls_context.tls_certificates[0].private_key: bad");
  EXPECT_EQ(said(Part::kTrustedCa), "common_tls_context.validation_context.trusted_ca: bad");
  EXPECT_EQ(said(Part::kCiphers), "common_tls_context.tls_params.cipher_suites: bad");
  EXPECT_EQ(said(Part::kCurves), "common_tls_context.tls_params.ecdh_curves: bad");
  EXPECT_EQ(said(Part::kSignatureAlgorithms), "common_tls_context.tls_params.signature_algorithms: bad");
  EXPECT_EQ(said(Part::kOcsp), ": bad");
  EXPECT_EQ(said(Part::kCertificate, 7), ": bad");
}

TEST(MakeContext, MakesAContextOfGoodFilesAndSaysWhatIsWrongWithOthers) {
  const Directory directory;
  const auto pair = make_pair("one");
  const auto other = make_pair("two");
  TlsSource source;
  source.secrets = std::make_shared<StaticSecrets>();
  source.site = {"socket", nullptr};
  auto* certificate = source.downstream.mutable_common_tls_context()->add_tls_certificates();
  certificate->mutable_certificate_chain()->set_filename(directory.write("tls.crt", pair.chain));
  certificate->mutable_private_key()->set_inline_string(pair.key);
  {
    FileReader files;
    Diagnostics diagnostics;
    const auto made = make_context(source, files, diagnostics);
    ASSERT_TRUE(made);
    EXPECT_THAT(made->chain_paths, ElementsAre(directory.path("tls.crt")));
    EXPECT_EQ(made->authorities_path, "");
  }
  certificate->mutable_private_key()->set_inline_string(other.key);
  FileReader files;
  Diagnostics diagnostics;
  EXPECT_FALSE(make_context(source, files, diagnostics));
  ASSERT_THAT(diagnostics.errors(), SizeIs(1));
  EXPECT_EQ(diagnostics.errors()[0].path, "socket.common_tls_context.tls_certificates[0].private_key");
}

}  // namespace
}  // namespace millrace::agent
