#include "tls/openssl/trust.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>

#include <openssl/err.h>
#include <openssl/pem.h>

#include "dataplane/base/hex.h"
#include "tls/openssl/certificate_reader.h"

namespace millrace::tls {
namespace {

using Part = ContextError::Part;
using Reason = HandshakeFailure::Reason;

void free_infos(STACK_OF(X509_INFO) * infos) { sk_X509_INFO_pop_free(infos, X509_INFO_free); }
using InfosHandle = std::unique_ptr<STACK_OF(X509_INFO), Deleter<free_infos>>;
void free_names(STACK_OF(X509_NAME) * names) { sk_X509_NAME_pop_free(names, X509_NAME_free); }
using NamesHandle = std::unique_ptr<STACK_OF(X509_NAME), Deleter<free_names>>;

Error<ContextError> refuse(Part part, std::string text) {
  return Error<ContextError>({.part = part, .index = 0, .text = std::move(text)});
}

InfosHandle read_pem(std::string_view pem) {
  std::string no_password;
  const BioHandle in = reader_of(pem);
  return InfosHandle(PEM_X509_INFO_read_bio(in.get(), nullptr, give_password, &no_password));
}

struct Added {
  std::vector<X509*> certificates;
  int revocation_lists = 0;
};

// As Envoy does, from either file either kind is taken: authorities are often bundled with their revocation lists.
Added add(X509_STORE* store, const STACK_OF(X509_INFO) * infos, bool certificates) {
  Added added;
  for (int i = 0; i < sk_X509_INFO_num(infos); ++i) {
    const X509_INFO* info = sk_X509_INFO_value(infos, i);
    if (certificates && info->x509 != nullptr && X509_STORE_add_cert(store, info->x509) == 1)
      added.certificates.push_back(info->x509);
    if (info->crl != nullptr && X509_STORE_add_crl(store, info->crl) == 1) ++added.revocation_lists;
  }
  return added;
}

// Tells clients by whom their certificates may be issued.
bool announce(SSL_CTX* context, std::span<X509* const> authorities) {
  NamesHandle names(sk_X509_NAME_new_null());
  for (X509* authority : authorities) {
    X509_NAME* name = X509_get_subject_name(authority);
    bool known = false;
    for (int i = 0; i < sk_X509_NAME_num(names.get()); ++i) known |= X509_NAME_cmp(sk_X509_NAME_value(names.get(), i), name) == 0;
    if (known) continue;
    X509_NAME* copy = X509_NAME_dup(name);
    if (copy == nullptr || sk_X509_NAME_push(names.get(), copy) == 0) {
      X509_NAME_free(copy);
      return false;
    }
  }
  SSL_CTX_set_client_CA_list(context, names.release());
  return true;
}

Sha256 hash_of(std::string_view first, std::string_view second) {
  Sha256 hash{};
  const DigestHandle digest(EVP_MD_CTX_new());
  if (digest != nullptr && EVP_DigestInit_ex(digest.get(), EVP_sha256(), nullptr) == 1) {
    (void)EVP_DigestUpdate(digest.get(), first.data(), first.size());
    (void)EVP_DigestUpdate(digest.get(), "", 1);  // where one ends and the other begins
    (void)EVP_DigestUpdate(digest.get(), second.data(), second.size());
    (void)EVP_DigestFinal_ex(digest.get(), hash.data(), nullptr);
  }
  return hash;
}

// An address as certificates' addresses are written, whatever way it came; empty: it is none.
std::string address_in_one_form(const std::string& text) {
  std::array<std::uint8_t, 16> bytes{};
  char form[INET6_ADDRSTRLEN] = {};
  for (const int family : {AF_INET, AF_INET6}) {
    if (inet_pton(family, text.c_str(), bytes.data()) == 1 && inet_ntop(family, bytes.data(), form, sizeof(form)) != nullptr)
      return form;
  }
  return {};
}

bool has_name(std::span<const SubjectName> names, std::string_view expected) {
  const std::string address = address_in_one_form(std::string(expected));
  return std::ranges::any_of(names, [&](const SubjectName& name) {
    if (name.kind == NameKind::kIpAddress) return !address.empty() && name.value == address;
    return name.kind == NameKind::kDns && matches_dns_name(name.value, expected);
  });
}

std::string list_of(std::span<const SubjectName> names) {
  std::string text;
  for (const SubjectName& name : names) text += (text.empty() ? "" : ", ") + name.value;
  return text.empty() ? "none" : text;
}

}  // namespace

Result<Trust, ContextError> Trust::make(const ValidationConfig& config, SSL_CTX* context) {
  Trust trust;
  trust.config_ = config;
  trust.config_.trusted_ca.clear();
  trust.config_.crl.clear();
  trust.revocation_ = hash_of(config.trusted_ca, config.crl);  // lists may stand in either
  if (config.trusted_ca.empty()) {
    if (config.crl.empty()) return trust;
    return refuse(Part::kCrl, "There is a revocation list, but no trusted_ca whose certificates it could revoke: give both.");
  }
  ERR_clear_error();
  X509_STORE* const store = SSL_CTX_get_cert_store(context);
  const InfosHandle authorities = read_pem(config.trusted_ca);
  const Added added = add(store, authorities.get(), true);
  if (added.certificates.empty()) {
    const std::string why = ERR_peek_error() == 0 ? "it holds none" : error_text();
    return refuse(Part::kTrustedCa, "No authority can be read from trusted_ca (" + why + "): give certificates in PEM.");
  }
  for (X509* authority : added.certificates) trust.authorities_.push_back(facts_of(authority));
  int lists = added.revocation_lists;
  if (!config.crl.empty()) {
    const InfosHandle revoked = read_pem(config.crl);
    const int more = add(store, revoked.get(), false).revocation_lists;
    if (more == 0) return refuse(Part::kCrl, "No revocation list can be read from crl: give lists in PEM (\"BEGIN X509 CRL\").");
    lists += more;
  }
  if (!announce(context, added.certificates)) return refuse(Part::kTrustedCa, "OpenSSL has no memory for trusted_ca.");
  // An intermediate that is trusted need not lead to a root that is.
  unsigned long flags = X509_V_FLAG_PARTIAL_CHAIN;
  if (lists > 0) flags |= X509_V_FLAG_CRL_CHECK | (config.crl_of_leaf_only ? 0ul : X509_V_FLAG_CRL_CHECK_ALL);
  if (config.accept_expired) flags |= X509_V_FLAG_NO_CHECK_TIME;
  (void)X509_STORE_set_flags(store, flags);
  if (config.most_intermediates) {
    SSL_CTX_set_verify_depth(context, static_cast<int>(std::min<std::uint32_t>(*config.most_intermediates, 1000)));
  }
  trust.verifies_chains_ = true;
  ERR_clear_error();
  return trust;
}

std::optional<Refusal> Trust::judge(X509_STORE_CTX* chain, std::string_view expected_name, std::int64_t now) const {
  X509_STORE_CTX_set_error(chain, X509_V_OK);
  if (verifies_chains_) {
    // A time of ours would overrule the store's X509_V_FLAG_NO_CHECK_TIME.
    if (!config_.accept_expired) X509_STORE_CTX_set_time(chain, 0, now);
    if (X509_verify_cert(chain) != 1) {
      if (config_.accept_untrusted) return std::nullopt;  // the error stays: it was not verified
      const int error = X509_STORE_CTX_get_error(chain);
      X509* const culprit = X509_STORE_CTX_get_current_cert(chain);
      X509* const leaf = X509_STORE_CTX_get0_cert(chain);
      std::string text = "The certificate " + subject_of(leaf) + " is not trusted: " + X509_verify_cert_error_string(error);
      if (culprit != nullptr && X509_cmp(culprit, leaf) != 0) text += ", at " + subject_of(culprit);
      return Refusal{Reason::kUntrusted, error, std::move(text)};
    }
  }
  X509* const leaf = X509_STORE_CTX_get0_cert(chain);
  auto refusal = judge_names(leaf, expected_name);
  if (!refusal) refusal = judge_hashes(leaf);
  if (!refusal || config_.accept_untrusted) return std::nullopt;
  X509_STORE_CTX_set_error(chain, refusal->error);
  return refusal;
}

std::optional<Refusal> Trust::judge_names(X509* leaf, std::string_view expected_name) const {
  if (expected_name.empty() && !config_.accepts_names) return std::nullopt;
  const std::vector<SubjectName> names = names_of(leaf);
  if (expected_name.empty() ? config_.accepts_names(names) : has_name(names, expected_name)) return std::nullopt;
  const std::string wanted = expected_name.empty() ? "one that the configuration accepts" : std::string(expected_name);
  return Refusal{Reason::kWrongName, X509_V_ERR_HOSTNAME_MISMATCH,
                 "The certificate " + subject_of(leaf) + " has the names " + list_of(names) + ", which is not " + wanted};
}

std::optional<Refusal> Trust::judge_hashes(X509* leaf) const {
  const auto among = [](const std::vector<Sha256>& hashes, const Sha256& hash) {
    return std::ranges::find(hashes, hash) != hashes.end();
  };
  if (config_.certificate_hashes.empty() && config_.public_key_hashes.empty()) return std::nullopt;
  if (among(config_.certificate_hashes, fingerprint_of(leaf)) || among(config_.public_key_hashes, public_key_hash_of(leaf))) {
    return std::nullopt;
  }
  return Refusal{Reason::kWrongHash, X509_V_ERR_CERT_REJECTED,
                 "The certificate " + subject_of(leaf) + " with the SHA-256 " + to_hex(fingerprint_of(leaf)) +
                     " is not among those that are pinned, nor is its public key"};
}

bool Trust::still_takes(X509* leaf, std::string_view expected_name, std::int64_t now) const {
  if (config_.accept_untrusted) return true;
  if (leaf == nullptr) return !needs_certificate() && expected_name.empty();
  const bool expired = verifies_chains_ && !config_.accept_expired && to_seconds(X509_get0_notAfter(leaf)) < now;
  return !expired && !judge_names(leaf, expected_name) && !judge_hashes(leaf);
}

void Trust::add_to(EVP_MD_CTX* digest) const {
  const auto add_number = [digest](std::uint64_t number) { (void)EVP_DigestUpdate(digest, &number, sizeof(number)); };
  const auto add_hashes = [&](const std::vector<Sha256>& hashes) {
    add_number(hashes.size());
    for (const Sha256& hash : hashes) (void)EVP_DigestUpdate(digest, hash.data(), hash.size());
  };
  add_number(verifies_chains_);
  (void)EVP_DigestUpdate(digest, revocation_.data(), revocation_.size());
  add_hashes(config_.certificate_hashes);
  add_hashes(config_.public_key_hashes);
  add_number(config_.accepts_names != nullptr);
  add_number(config_.crl_of_leaf_only);
  add_number(config_.accept_expired);
  add_number(config_.accept_untrusted);
  add_number(config_.most_intermediates ? std::uint64_t{*config_.most_intermediates} + 1 : 0);
}

}  // namespace millrace::tls
