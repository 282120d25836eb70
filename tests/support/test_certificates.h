// Certificates made when a test wants them: an authority, what it issues, revokes and vouches for. Valid now, or as told.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

struct evp_pkey_st;
struct x509_st;

namespace millrace::test {

enum class KeyKind : std::uint8_t { kP256, kP384, kRsa2048, kRsa1024, kSecp256k1 };

/// All in PEM.
struct Issued {
  std::string certificate;
  std::string key;
};

struct CertificateSpec {
  std::string common_name = "leaf";
  std::vector<std::string> names = {};  ///< as "DNS:a.example", "URI:spiffe://a/b", "IP:10.0.0.1", "email:a@b.example"
  KeyKind key = KeyKind::kP256;
  std::int64_t not_before = -3600;  ///< seconds from now
  std::int64_t not_after = 86'400;
  bool must_staple = false;
  bool sha1 = false;                    ///< signed with SHA-1, which nobody should take
  std::string extended_key_usage = {};  ///< such as "serverAuth"; empty: any
};

class Authority {
 public:
  /// A root; or, with an `issuer`, an intermediate.
  explicit Authority(const std::string& name, const Authority* issuer = nullptr);
  Authority(Authority&&) noexcept = default;
  ~Authority() = default;

  [[nodiscard]] const std::string& certificate() const { return pem_; }
  [[nodiscard]] Issued issue(const CertificateSpec& spec = {}) const;
  /// A revocation list in PEM, which names these certificates (PEM).
  [[nodiscard]] std::string revocation_list(std::span<const std::string> certificates) const;
  /// In DER: "good", until `next_update` seconds from now.
  [[nodiscard]] std::string ocsp_response(const std::string& certificate, std::int64_t next_update) const;

 private:
  std::shared_ptr<evp_pkey_st> key_;
  std::shared_ptr<x509_st> certificate_;
  std::string pem_;
};

[[nodiscard]] std::string encrypted(const std::string& key, const std::string& password);
[[nodiscard]] std::string pkcs12(const Issued& issued, const std::string& chain, const std::string& password);
[[nodiscard]] std::array<std::uint8_t, 32> fingerprint(const std::string& certificate);
[[nodiscard]] std::array<std::uint8_t, 32> public_key_hash(const std::string& certificate);

}  // namespace millrace::test
