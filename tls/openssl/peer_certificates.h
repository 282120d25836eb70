// What is known of peers' certificates, kept once for all the sessions in which they were shown: a client holds many connections,
// and the facts of a chain take more memory than anything else that a session leaves behind.
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "tls/certificate.h"
#include "tls/openssl/handles.h"

namespace millrace::tls {

/// Of one context. Any thread.
class PeerCertificates {
 public:
  /// `chain` is not empty: the leaf, and what came with it.
  [[nodiscard]] std::shared_ptr<const PeerCertificate> facts_of(const std::vector<X509*>& chain);

 private:
  void drop_unused();

  std::mutex mutex_;
  std::map<Sha256, std::weak_ptr<const PeerCertificate>> known_;  // by the hash of the whole chain
  std::size_t drop_at_ = 64;                                      // entries
};

}  // namespace millrace::tls
