#include "tls/openssl/certificate_choice.h"

#include <algorithm>
#include <cctype>

#include "tls/openssl/certificate_reader.h"

namespace millrace::tls {

CertificateChoice::CertificateChoice(const std::vector<OwnCertificate>& certificates, OcspPolicy policy, bool scan_on_mismatch)
    : certificates_(&certificates), policy_(policy), scan_on_mismatch_(scan_on_mismatch) {
  for (std::size_t i = 0; i < certificates.size(); ++i) {
    all_.push_back(i);
    for (std::string name : server_names_of(certificates[i].leaf.get())) {
      std::ranges::transform(name, name.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
      if (name.starts_with("*.")) name.erase(0, 1);
      by_name_[name].push_back(i);
    }
  }
}

Staple CertificateChoice::staple_for(const OwnCertificate& certificate, bool wanted, std::int64_t now) const {
  if (!wanted) return Staple::kNotAsked;
  if (certificate.staple && !certificate.staple->expired(now)) return Staple::kAttached;
  const OcspPolicy policy = certificate.must_staple ? OcspPolicy::kMustStaple : policy_;
  switch (policy) {
    case OcspPolicy::kLenientStapling: return Staple::kOmitted;
    case OcspPolicy::kStrictStapling: return certificate.staple ? Staple::kRefused : Staple::kOmitted;
    case OcspPolicy::kMustStaple: return Staple::kRefused;
  }
  return Staple::kRefused;
}

int CertificateChoice::best_of(const std::vector<std::size_t>& indexes, const Client& client, std::int64_t now) const {
  int rsa = -1;
  for (const std::size_t i : indexes) {
    const OwnCertificate& certificate = (*certificates_)[i];
    if (staple_for(certificate, client.wants_staple, now) == Staple::kRefused) continue;
    if (certificate.curve == NID_undef) {
      if (rsa < 0) rsa = static_cast<int>(i);
    } else if (std::ranges::find(client.ecdsa_curves, certificate.curve) != client.ecdsa_curves.end()) {
      return static_cast<int>(i);
    }
  }
  return rsa;
}

int CertificateChoice::best_by_name(const std::string& pattern, const Client& client, std::int64_t now) const {
  const auto found = by_name_.find(pattern);
  return found == by_name_.end() ? -1 : best_of(found->second, client, now);
}

CertificateChoice::Result CertificateChoice::choose(const Client& client, std::int64_t now) const {
  const std::string name(client.server_name);
  int best = -1;
  if (!name.empty()) {
    best = best_by_name(name, client, now);
    const std::size_t label = name.find('.', 1);
    if (best < 0 && label != std::string::npos && label + 1 < name.size()) best = best_by_name(name.substr(label), client, now);
  }
  if (best < 0 && (name.empty() || scan_on_mismatch_)) best = best_of(all_, client, now);
  const std::size_t index = best < 0 ? 0 : static_cast<std::size_t>(best);
  return {index, staple_for((*certificates_)[index], client.wants_staple, now)};
}

}  // namespace millrace::tls
