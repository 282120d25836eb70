#include "tls/openssl/parameters.h"

#include <algorithm>
#include <string_view>

#include <openssl/err.h>

namespace millrace::tls {
namespace {

using Part = ContextError::Part;

// Envoy's for TLS 1.2: forward secrecy and an AEAD, those with hardware support first.
constexpr std::string_view kDefaultCiphers =
    "[ECDHE-ECDSA-AES128-GCM-SHA256|ECDHE-ECDSA-CHACHA20-POLY1305]:[ECDHE-RSA-AES128-GCM-SHA256|ECDHE-RSA-CHACHA20-POLY1305]:"
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384";
constexpr const char* kTls13Ciphers = "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";
// What a list may name: neither anonymous nor in clear, and no shared keys, which we do not have.
constexpr const char* kEveryCipher = "ALL:!aNULL:!eNULL:!PSK:!SRP";
constexpr const char* kDefaultCurves[] = {"X25519", "P-256", "P-384"};
// 112 bits: RSA of 2048, no SHA-1 in signatures; whatever the machine's openssl.cnf says.
constexpr int kSecurityLevel = 2;

ContextError error(Part part, std::string text) { return {.part = part, .index = 0, .text = std::move(text)}; }

int number_of(Version version) { return version == Version::kTls12 ? TLS1_2_VERSION : TLS1_3_VERSION; }

// Equal preference, "[A|B]", is not for OpenSSL: the order within decides.
std::vector<std::string> split_ciphers(std::string_view list) {
  std::vector<std::string> names(1);
  for (const char c : list) {
    if (c == ':' || c == '|') {
      names.emplace_back();
    } else if (c != '[' && c != ']') {
      names.back() += c;
    }
  }
  std::erase(names, std::string());
  return names;
}

// OpenSSL's name of a cipher that is written so or as IANA has it; null: unknown.
const char* cipher_called(const STACK_OF(SSL_CIPHER) * all, const std::string& name) {
  for (int i = 0; i < sk_SSL_CIPHER_num(all); ++i) {
    const SSL_CIPHER* cipher = sk_SSL_CIPHER_value(all, i);
    const char* standard = SSL_CIPHER_standard_name(cipher);
    const bool tls13 = std::string_view(SSL_CIPHER_get_version(cipher)) == "TLSv1.3";
    if (!tls13 && (name == SSL_CIPHER_get_name(cipher) || (standard != nullptr && name == standard))) {
      return SSL_CIPHER_get_name(cipher);
    }
  }
  return nullptr;
}

std::optional<ContextError> set_ciphers(SSL_CTX* context, std::string_view list) {
  if (SSL_CTX_set_cipher_list(context, kEveryCipher) != 1)
    return error(Part::kCiphers, "OpenSSL has no ciphers: " + error_text());
  std::string chosen;
  for (const std::string& name : split_ciphers(list)) {
    if (name.starts_with("TLS_AES_") || name.starts_with("TLS_CHACHA20_POLY1305_SHA256")) {
      return error(Part::kCiphers,
                   "\"" + name + "\" is a cipher suite of TLS 1.3, which are always on: leave it out of the list.");
    }
    const char* known = cipher_called(SSL_CTX_get_ciphers(context), name);
    if (known == nullptr) {
      return error(Part::kCiphers, "The cipher suite \"" + name + "\" is not known or too weak: use one such as " +
                                       "ECDHE-ECDSA-AES128-GCM-SHA256.");
    }
    chosen += (chosen.empty() ? "" : ":") + std::string(known);
  }
  if (chosen.empty()) return error(Part::kCiphers, "The list of cipher suites names none: leave it out, or name one.");
  if (SSL_CTX_set_cipher_list(context, chosen.c_str()) != 1 || SSL_CTX_set_ciphersuites(context, kTls13Ciphers) != 1) {
    return error(Part::kCiphers, "The cipher suites cannot be set: " + error_text());
  }
  return std::nullopt;
}

// Sets `names`, joined, with `set`; which one is wrong is found by setting them one by one.
template <typename Set>
std::optional<std::string> set_names(std::span<const std::string> names, Set&& set) {
  std::string joined;
  for (const std::string& name : names) {
    if (name.empty() || name.find(':') != std::string::npos || set(name.c_str()) != 1) return name;
    joined += (joined.empty() ? "" : ":") + name;
  }
  return set(joined.c_str()) == 1 ? std::nullopt : std::optional(joined);
}

}  // namespace

std::optional<ContextError> set_parameters(SSL_CTX* context, const ContextConfig& config) {
  if (config.least_version > config.most_version) {
    return error(Part::kOther, "The least TLS version is above the highest: swap them.");
  }
  SSL_CTX_set_security_level(context, kSecurityLevel);
  if (SSL_CTX_set_min_proto_version(context, number_of(config.least_version)) != 1 ||
      SSL_CTX_set_max_proto_version(context, number_of(config.most_version)) != 1) {
    return error(Part::kOther, "The TLS versions cannot be set: " + error_text());
  }
  if (auto wrong = set_ciphers(context, config.ciphers.empty() ? kDefaultCiphers : config.ciphers)) return wrong;
  std::vector<std::string> curves = config.curves;
  if (curves.empty()) curves.assign(std::begin(kDefaultCurves), std::end(kDefaultCurves));
  if (const auto wrong = set_names(curves, [&](const char* name) { return SSL_CTX_set1_groups_list(context, name); })) {
    return error(Part::kCurves, "The curve \"" + *wrong + "\" is not known: use X25519, P-256, P-384 or P-521.");
  }
  if (config.signature_algorithms.empty()) return std::nullopt;
  const auto wrong = set_names(config.signature_algorithms, [&](const char* name) {
    return SSL_CTX_set1_sigalgs_list(context, name) == 1 && SSL_CTX_set1_client_sigalgs_list(context, name) == 1 ? 1 : 0;
  });
  if (!wrong) return std::nullopt;
  return error(Part::kSignatureAlgorithms,
               "The signature algorithm \"" + *wrong + "\" is not known: use names such as rsa_pss_rsae_sha256.");
}

Result<std::vector<std::uint8_t>, std::string> protocols_on_wire(std::span<const std::string> protocols) {
  std::vector<std::uint8_t> wire;
  for (const std::string& protocol : protocols) {
    if (protocol.empty() || protocol.size() > 255) {
      return Error<std::string>("The ALPN protocol \"" + protocol + "\" has " + std::to_string(protocol.size()) +
                                " bytes: use 1 to 255.");
    }
    wire.push_back(static_cast<std::uint8_t>(protocol.size()));
    wire.insert(wire.end(), protocol.begin(), protocol.end());
  }
  return wire;
}

}  // namespace millrace::tls
