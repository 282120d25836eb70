#include "control-agent/json_web_keys.h"

#include <nlohmann/json.hpp>

#include <optional>
#include <utility>

#include "dataplane/base/base64.h"
#include "tls/signature.h"

namespace millrace::agent {
namespace {

using nlohmann::json;
using tls::SignatureKey;
using Curve = SignatureKey::Curve;
using Made = SignatureKey::Made;

Error<std::string> error(std::string reason) { return Error<std::string>(std::move(reason)); }

/// A member that is a string; nothing: it is not there. An error: it is something else.
Result<std::optional<std::string>, std::string> text_member(const json& object, const char* name) {
  const auto at = object.find(name);
  if (at == object.end()) return std::nullopt;
  if (!at->is_string()) return error(std::string("\"") + name + "\" must be a string");
  return at->get<std::string>();
}

Result<std::string, std::string> bytes_member(const json& object, const char* name) {
  const auto text = text_member(object, name);
  if (!text) return error(text.error());
  if (!*text) return error(std::string("\"") + name + "\" is missing");
  std::string bytes(base64_decoded_size((*text)->size()), '\0');
  const auto size = decode_base64url(**text, bytes);
  if (!size || *size == 0) return error(std::string("\"") + name + "\" is not base64url without padding");
  return bytes;
}

Made make_rsa(const json& object, const std::string& algorithm) {
  if (!algorithm.empty() && !algorithm.starts_with("RS") && !algorithm.starts_with("PS"))
    return error("\"alg\" of an RSA key must start with RS or PS, is \"" + algorithm + "\"");
  const auto modulus = bytes_member(object, "n");
  if (!modulus) return error(modulus.error());
  const auto exponent = bytes_member(object, "e");
  if (!exponent) return error(exponent.error());
  return SignatureKey::rsa(*modulus, *exponent);
}

struct CurveRow {
  std::string_view name;
  std::string_view algorithm;
  Curve curve;
};
constexpr CurveRow kCurves[] = {
    {"P-256", "ES256", Curve::kP256}, {"P-384", "ES384", Curve::kP384}, {"P-521", "ES512", Curve::kP521}};

// One of crv and alg is enough; without both it is P-256.
Made make_ec(const json& object, const std::string& algorithm) {
  const auto name = text_member(object, "crv");
  if (!name) return error(name.error());
  const CurveRow* row = algorithm.empty() && !*name ? kCurves : nullptr;
  for (const CurveRow& candidate : kCurves) {
    const bool fits = (!*name || **name == candidate.name) && (algorithm.empty() || algorithm == candidate.algorithm);
    if (row == nullptr && fits) row = &candidate;
  }
  if (row == nullptr) {
    return error("\"crv\" and \"alg\" of an EC key must be P-256 with ES256, P-384 with ES384 or P-521 with ES512, are \"" +
                 name->value_or("") + "\" and \"" + algorithm + "\"");
  }
  const auto x = bytes_member(object, "x");
  if (!x) return error(x.error());
  const auto y = bytes_member(object, "y");
  if (!y) return error(y.error());
  return SignatureKey::ec(row->curve, *x, *y);
}

Made make_okp(const json& object, const std::string& algorithm) {
  if (!algorithm.empty() && algorithm != "EdDSA") return error("\"alg\" of an OKP key must be EdDSA, is \"" + algorithm + "\"");
  const auto curve = text_member(object, "crv");
  if (!curve) return error(curve.error());
  if (*curve != "Ed25519") return error("\"crv\" of an OKP key must be Ed25519, is \"" + curve->value_or("") + "\"");
  const auto key = bytes_member(object, "x");
  if (!key) return error(key.error());
  return SignatureKey::ed25519(*key);
}

Made make_symmetric(const json& object, const std::string& algorithm) {
  if (!algorithm.empty() && algorithm != "HS256" && algorithm != "HS384" && algorithm != "HS512")
    return error("\"alg\" of a symmetric key must be HS256, HS384 or HS512, is \"" + algorithm + "\"");
  const auto secret = bytes_member(object, "k");
  if (!secret) return error(secret.error());
  return SignatureKey::hmac(*secret);
}

Result<config::JsonWebKey, std::string> parse_key(const json& object) {
  if (!object.is_object()) return error("a key must be an object");
  const auto type = text_member(object, "kty");
  if (!type) return error(type.error());
  // Of another type they count as absent.
  config::JsonWebKey out;
  out.id = text_member(object, "kid").value_or(std::nullopt).value_or("");
  out.algorithm = text_member(object, "alg").value_or(std::nullopt).value_or("");
  Made made = *type == "RSA"   ? make_rsa(object, out.algorithm)
              : *type == "EC"  ? make_ec(object, out.algorithm)
              : *type == "OKP" ? make_okp(object, out.algorithm)
              : *type == "oct" ? make_symmetric(object, out.algorithm)
                               : Made(error("\"kty\" must be RSA, EC, OKP or oct, is \"" + type->value_or("") + "\""));
  if (!made) return error(std::move(made.error()));
  out.key = std::move(*made);
  return out;
}

Result<config::JsonWebKey, std::string> parse_certificate(const std::string& id, const json& value) {
  if (!value.is_string()) return error("must be a certificate in PEM");
  auto made = SignatureKey::of_certificate(value.get<std::string>());
  if (!made) return error(std::move(made.error()));
  return config::JsonWebKey{.id = id, .algorithm = {}, .key = std::move(*made)};
}

}  // namespace

Result<JsonWebKeySet, std::string> parse_json_web_keys(std::string_view text) {
  const json document = json::parse(text, nullptr, false);
  if (document.is_discarded() || !document.is_object()) return error("is not a JSON object");
  JsonWebKeySet out;
  const auto take = [&](Result<config::JsonWebKey, std::string> key, const std::string& where) {
    if (key) {
      out.keys.push_back(std::move(*key));
    } else {
      out.left_out.push_back(where + ": " + key.error());
    }
  };
  if (const auto keys = document.find("keys"); keys == document.end()) {
    for (const auto& [id, value] : document.items()) take(parse_certificate(id, value), id);
  } else if (keys->is_array()) {
    for (std::size_t i = 0; i < keys->size(); ++i) take(parse_key((*keys)[i]), "keys[" + std::to_string(i) + "]");
  } else {
    return error("\"keys\" must be an array");
  }
  if (!out.keys.empty()) return out;
  return error(out.left_out.empty() ? "has no key" : "has no key that can be used: " + out.left_out.front());
}

}  // namespace millrace::agent
