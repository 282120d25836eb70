#include "dataplane/proxy/access_log.h"

#include <array>
#include <string_view>

#include "dataplane/proxy/policy/format.h"

namespace millrace::proxy {

void write_access_logs(const std::vector<config::AccessLog>& logs, const StreamInfo& info, const ProxyContext& context) {
  std::array<char, kMaxAccessLogLineBytes> line;
  for (const config::AccessLog& log : logs) {
    const std::size_t size = render_access_log(log.format, info, {.hostname = context.hostname}, line);
    context.log.push(log.sink, std::string_view(line.data(), size));
  }
}

}  // namespace millrace::proxy
