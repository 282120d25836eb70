#include "dataplane/proxy/upstream_failure.h"

#include <array>

namespace millrace::proxy {
namespace {

constexpr std::array kRows = {
#define MR_UPSTREAM_FAILURE(name, status, flag, text, token)                                                \
  UpstreamFailureRow{status, ResponseFlag::flag, text, "upstream_reset_before_response_started{" token "}", \
                     "upstream_reset_after_response_started{" token "}"},
#include "dataplane/proxy/upstream_failure.def"
#undef MR_UPSTREAM_FAILURE
};

}  // namespace

const UpstreamFailureRow& row_of(UpstreamFailure failure) { return kRows[static_cast<std::size_t>(failure)]; }

}  // namespace millrace::proxy
