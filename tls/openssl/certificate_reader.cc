#include "tls/openssl/certificate_reader.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cstring>
#include <ctime>

#include <openssl/bn.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "dataplane/base/hex.h"

namespace millrace::tls {
namespace {

using NamesHandle = std::unique_ptr<GENERAL_NAMES, Deleter<GENERAL_NAMES_free>>;

std::string text_of(const ASN1_STRING* string) {
  return {reinterpret_cast<const char*>(ASN1_STRING_get0_data(string)), static_cast<std::size_t>(ASN1_STRING_length(string))};
}

std::string address_text(const ASN1_OCTET_STRING* address) {
  const int size = ASN1_STRING_length(address);
  char text[INET6_ADDRSTRLEN] = {};
  if (size != 4 && size != 16) return {};
  return inet_ntop(size == 4 ? AF_INET : AF_INET6, ASN1_STRING_get0_data(address), text, sizeof(text)) == nullptr ? "" : text;
}

std::string name_text(const X509_NAME* name) {
  const BioHandle out(BIO_new(BIO_s_mem()));
  if (out == nullptr || X509_NAME_print_ex(out.get(), name, 0, XN_FLAG_RFC2253) < 0) return {};
  return to_text(out.get());
}

std::string serial_of(X509* certificate) {
  const std::unique_ptr<BIGNUM, Deleter<BN_free>> number(ASN1_INTEGER_to_BN(X509_get0_serialNumber(certificate), nullptr));
  if (number == nullptr) return {};
  std::vector<std::uint8_t> bytes(static_cast<std::size_t>(std::max(1, BN_num_bytes(number.get()))));
  (void)BN_bn2binpad(number.get(), bytes.data(), static_cast<int>(bytes.size()));
  return to_hex(bytes);
}

NamesHandle alternative_names(X509* certificate) {
  return NamesHandle(static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
}

}  // namespace

std::vector<SubjectName> names_of(X509* certificate) {
  std::vector<SubjectName> names;
  const NamesHandle all = alternative_names(certificate);
  for (int i = 0; i < sk_GENERAL_NAME_num(all.get()); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(all.get(), i);
    switch (name->type) {
      case GEN_DNS: names.push_back({NameKind::kDns, text_of(name->d.dNSName)}); break;
      case GEN_URI: names.push_back({NameKind::kUri, text_of(name->d.uniformResourceIdentifier)}); break;
      case GEN_EMAIL: names.push_back({NameKind::kEmail, text_of(name->d.rfc822Name)}); break;
      case GEN_IPADD: names.push_back({NameKind::kIpAddress, address_text(name->d.iPAddress)}); break;
      default: break;  // kinds that nothing in the configuration can ask for
    }
  }
  return names;
}

std::vector<std::string> server_names_of(X509* certificate) {
  std::vector<std::string> names;
  for (SubjectName& name : names_of(certificate)) {
    if (name.kind == NameKind::kDns) names.push_back(std::move(name.value));
  }
  if (alternative_names(certificate) != nullptr) return names;
  const X509_NAME* subject = X509_get_subject_name(certificate);
  const int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
  if (at >= 0) names.push_back(text_of(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at))));
  return names;
}

Sha256 fingerprint_of(X509* certificate) {
  Sha256 hash{};
  (void)X509_digest(certificate, EVP_sha256(), hash.data(), nullptr);
  return hash;
}

Sha256 public_key_hash_of(X509* certificate) {
  Sha256 hash{};
  std::uint8_t* der = nullptr;
  const int size = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &der);
  if (size > 0) (void)EVP_Digest(der, static_cast<std::size_t>(size), hash.data(), nullptr, EVP_sha256(), nullptr);
  OPENSSL_free(der);
  return hash;
}

std::string subject_of(X509* certificate) { return name_text(X509_get_subject_name(certificate)); }

std::string pem_of(X509* certificate) {
  const BioHandle out(BIO_new(BIO_s_mem()));
  if (out == nullptr || PEM_write_bio_X509(out.get(), certificate) != 1) return {};
  return to_text(out.get());
}

CertificateFacts facts_of(X509* certificate) {
  return {.subject = subject_of(certificate),
          .issuer = name_text(X509_get_issuer_name(certificate)),
          .serial = serial_of(certificate),
          .names = names_of(certificate),
          .fingerprint = fingerprint_of(certificate),
          .public_key = public_key_hash_of(certificate),
          .not_before = to_seconds(X509_get0_notBefore(certificate)),
          .not_after = to_seconds(X509_get0_notAfter(certificate)),
          .pem = pem_of(certificate)};
}

std::int64_t to_seconds(const ASN1_TIME* time) {
  std::tm parts{};
  return time != nullptr && ASN1_TIME_to_tm(time, &parts) == 1 ? timegm(&parts) : 0;
}

std::string time_text(std::int64_t seconds) {
  const std::time_t time = seconds;
  std::tm parts{};
  char text[64] = {};
  if (gmtime_r(&time, &parts) != nullptr) std::strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S UTC", &parts);
  return text;
}

int give_password(char* to, int size, int /*writing*/, void* user) {
  const auto& password = *static_cast<const std::string*>(user);
  if (password.empty() || password.size() > static_cast<std::size_t>(size)) return -1;
  std::memcpy(to, password.data(), password.size());
  return static_cast<int>(password.size());
}

}  // namespace millrace::tls
