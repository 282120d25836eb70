#include "tls/openssl/ocsp_staple.h"

#include <openssl/ocsp.h>
#include <openssl/x509v3.h>

#include "tls/openssl/certificate_reader.h"

namespace millrace::tls {

Result<OcspStaple, std::string> OcspStaple::read(std::string_view der, X509* certificate) {
  const auto* at = reinterpret_cast<const unsigned char*>(der.data());
  const unsigned char* const end = at + der.size();
  const std::unique_ptr<OCSP_RESPONSE, Deleter<OCSP_RESPONSE_free>> response(
      d2i_OCSP_RESPONSE(nullptr, &at, static_cast<long>(der.size())));
  if (response == nullptr || at != end) return Error<std::string>("is not an OCSP response in DER");
  if (OCSP_response_status(response.get()) != OCSP_RESPONSE_STATUS_SUCCESSFUL) {
    return Error<std::string>("is a responder's refusal (" +
                              std::string(OCSP_response_status_str(OCSP_response_status(response.get()))) + ")");
  }
  const std::unique_ptr<OCSP_BASICRESP, Deleter<OCSP_BASICRESP_free>> basic(OCSP_response_get1_basic(response.get()));
  if (basic == nullptr || OCSP_resp_count(basic.get()) != 1) return Error<std::string>("does not speak of one certificate");
  OCSP_SINGLERESP* single = OCSP_resp_get0(basic.get(), 0);
  ASN1_INTEGER* serial = nullptr;
  (void)OCSP_id_get0_info(nullptr, nullptr, nullptr, &serial, const_cast<OCSP_CERTID*>(OCSP_SINGLERESP_get0_id(single)));
  if (serial == nullptr || ASN1_INTEGER_cmp(serial, X509_get0_serialNumber(certificate)) != 0) {
    return Error<std::string>("is of another certificate");
  }
  ASN1_GENERALIZEDTIME* next_update = nullptr;
  (void)OCSP_single_get0_status(single, nullptr, nullptr, nullptr, &next_update);
  OcspStaple staple{.der = std::string(der), .next_update = {}};
  if (next_update != nullptr) staple.next_update = to_seconds(next_update);
  return staple;
}

bool must_staple(X509* certificate) {
  constexpr long kStatusRequest = TLSEXT_TYPE_status_request;
  const std::unique_ptr<TLS_FEATURE, Deleter<TLS_FEATURE_free>> features(
      static_cast<TLS_FEATURE*>(X509_get_ext_d2i(certificate, NID_tlsfeature, nullptr, nullptr)));
  for (int i = 0; i < sk_ASN1_INTEGER_num(features.get()); ++i) {
    if (ASN1_INTEGER_get(sk_ASN1_INTEGER_value(features.get(), i)) == kStatusRequest) return true;
  }
  return false;
}

}  // namespace millrace::tls
