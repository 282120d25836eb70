// envoy.extensions.access_loggers.{file,stream}.v3 -> config::AccessLog.
#include "control-agent/translate_access_log.h"

#include <algorithm>
#include <utility>

#include "config/compile/format_compiler.h"
#include "control-agent/translate_common.h"
#include "control-agent/translate_http.h"
#include "envoy/config/accesslog/v3/accesslog.pb.h"
#include "envoy/extensions/access_loggers/file/v3/file.pb.h"
#include "envoy/extensions/access_loggers/stream/v3/stream.pb.h"

namespace millrace::agent {

namespace core = envoy::config::core::v3;
using envoy::extensions::access_loggers::file::v3::FileAccessLog;
using envoy::extensions::access_loggers::stream::v3::StderrAccessLog;
using envoy::extensions::access_loggers::stream::v3::StdoutAccessLog;

namespace {

config::Format default_format() { return *config::compile_format(config::kDefaultAccessLogFormat); }

config::Format translate_log_format(const core::SubstitutionFormatString& format, const std::string& path,
                                    Diagnostics& diagnostics) {
  switch (format.format_case()) {
    case core::SubstitutionFormatString::kTextFormat:
      return format.text_format().empty() ? default_format()
                                          : translate_format(format.text_format(), join_path(path, "text_format"), diagnostics);
    case core::SubstitutionFormatString::kTextFormatSource: {
      const std::string source_path = join_path(path, "text_format_source");
      const auto text = read_data_source(format.text_format_source(), source_path, diagnostics);
      if (!text) return {};
      return text->empty() ? default_format() : translate_format(*text, source_path, diagnostics);
    }
    default: return default_format();
  }
}

template <typename Log>
config::AccessLog stream_log(const Log& log, std::string sink, const std::string& path, TranslateContext& context) {
  const std::string format_path = join_path(path, "log_format");
  auto format =
      log.has_log_format() ? translate_log_format(log.log_format(), format_path, context.diagnostics) : default_format();
  return {log_sink_index(std::move(sink), context.log_sinks), std::move(format)};
}

}  // namespace

std::uint32_t log_sink_index(std::string path, std::vector<config::LogSink>& sinks) {
  auto at = std::ranges::find(sinks, path, &config::LogSink::path);
  if (at == sinks.end()) at = sinks.insert(sinks.end(), config::LogSink{std::move(path)});
  return static_cast<std::uint32_t>(at - sinks.begin());
}

config::AccessLog translate_access_log(const envoy::config::accesslog::v3::AccessLog& log, const std::string& path,
                                       TranslateContext& context) {
  const std::string config_path = join_path(path, "typed_config");
  if (const auto file = unpack<FileAccessLog>(log.typed_config())) {
    auto out = stream_log(*file, file->path(), config_path, context);
    if (!file->format().empty())
      out.format = translate_format(file->format(), join_path(config_path, "format"), context.diagnostics);
    return out;
  }
  if (const auto standard_out = unpack<StdoutAccessLog>(log.typed_config()))
    return stream_log(*standard_out, "/dev/stdout", config_path, context);
  if (const auto standard_error = unpack<StderrAccessLog>(log.typed_config()))
    return stream_log(*standard_error, "/dev/stderr", config_path, context);
  const auto& url = log.typed_config().type_url();
  context.diagnostics.error(config_path,
                            url.empty() ? "must be set" : "the type \"" + url + "\" is not an access logger that is supported");
  return {};
}

}  // namespace millrace::agent
