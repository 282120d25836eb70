#include "tls/openssl/peer_certificates.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "tls/openssl/certificate_reader.h"

namespace millrace::tls {
namespace {

// Empty: no memory.
std::optional<Sha256> hash_of(const std::vector<X509*>& chain) {
  const DigestHandle digest(EVP_MD_CTX_new());
  if (digest == nullptr || EVP_DigestInit_ex(digest.get(), EVP_sha256(), nullptr) != 1) return std::nullopt;
  for (X509* certificate : chain) {
    const Sha256 fingerprint = fingerprint_of(certificate);
    if (EVP_DigestUpdate(digest.get(), fingerprint.data(), fingerprint.size()) != 1) return std::nullopt;
  }
  Sha256 hash{};
  if (EVP_DigestFinal_ex(digest.get(), hash.data(), nullptr) != 1) return std::nullopt;
  return hash;
}

std::shared_ptr<const PeerCertificate> read(const std::vector<X509*>& chain) {
  std::string pem;
  for (X509* certificate : chain) pem += pem_of(certificate);
  return std::make_shared<PeerCertificate>(tls::facts_of(chain.front()), std::move(pem));
}

}  // namespace

std::shared_ptr<const PeerCertificate> PeerCertificates::facts_of(const std::vector<X509*>& chain) {
  const auto hash = hash_of(chain);
  if (!hash) return read(chain);
  const std::scoped_lock lock(mutex_);
  std::weak_ptr<const PeerCertificate>& known = known_[*hash];
  if (auto facts = known.lock()) return facts;
  auto facts = read(chain);
  known = facts;
  drop_unused();
  return facts;
}

// When there are twice as many entries as had a use the last time: all of it together costs a session next to nothing.
void PeerCertificates::drop_unused() {
  if (known_.size() < drop_at_) return;
  std::erase_if(known_, [](const auto& entry) { return entry.second.expired(); });
  drop_at_ = std::max(drop_at_, 2 * known_.size());
}

}  // namespace millrace::tls
