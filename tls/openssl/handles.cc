#include "tls/openssl/handles.h"

#include <openssl/err.h>

namespace millrace::tls {

BioHandle reader_of(std::string_view bytes) { return BioHandle(BIO_new_mem_buf(bytes.data(), static_cast<int>(bytes.size()))); }

void drain(BIO* from, std::vector<std::uint8_t>& to) {
  const std::size_t size = BIO_ctrl_pending(from);
  if (size == 0) return;
  const std::size_t before = to.size();
  to.resize(before + size);
  std::size_t got = 0;
  (void)BIO_read_ex(from, to.data() + before, size, &got);
  to.resize(before + got);
}

std::string to_text(BIO* memory) {
  const char* bytes = nullptr;
  const long size = BIO_get_mem_data(memory, &bytes);
  return size > 0 ? std::string(bytes, static_cast<std::size_t>(size)) : std::string();
}

std::string error_text() {
  const char* text = ERR_reason_error_string(ERR_peek_error());
  return text == nullptr ? "unknown error" : text;
}

}  // namespace millrace::tls
