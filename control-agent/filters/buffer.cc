#include "control-agent/filters/rows.h"

namespace millrace::agent {

namespace buffer = envoy::extensions::filters::http::buffer::v3;

config::BufferRequests translate_filter(const buffer::Buffer& filter, const std::string&, TranslateContext&) {
  return {.max_request_bytes = filter.max_request_bytes().value()};
}

config::BufferRequests translate_filter(const buffer::BufferPerRoute& route, const std::string& path, TranslateContext& context) {
  return route.has_buffer() ? translate_filter(route.buffer(), path, context) : config::BufferRequests{};
}

}  // namespace millrace::agent
