#include "dataplane/proxy/filters/jwt_status.h"

#include <array>

#include "dataplane/base/assert.h"

namespace millrace::proxy {
namespace {

struct StatusRow {
  std::uint32_t code;
  std::string_view text;
};

constexpr auto kRows = std::to_array<StatusRow>({
#define MR_JWT_STATUS(name, code, text) {code, text},
#include "dataplane/proxy/filters/jwt_status.def"
#undef MR_JWT_STATUS
});

const StatusRow& row_of(JwtStatus status) {
  MR_ASSERT(status != JwtStatus::kNoMemory);
  return kRows[static_cast<std::size_t>(status)];
}

}  // namespace

std::uint32_t code_of(JwtStatus status) { return row_of(status).code; }
std::string_view text_of(JwtStatus status) { return row_of(status).text; }

}  // namespace millrace::proxy
