# What a builder may choose. Presets (CMakePresets.json) name the combinations we support.
set(MILLRACE_MARCH "x86-64-v3" CACHE STRING "Instruction set of the build, as in -march=")
set(MILLRACE_SANITIZE "" CACHE STRING "Sanitizers, as in -fsanitize=: \"address,undefined\", \"thread\" or nothing")
option(MILLRACE_TESTS "Build the tests" ON)
option(MILLRACE_BENCHMARKS "Build the micro-benchmarks" OFF)
option(MILLRACE_UNITY "Compile several sources of a library as one" ON)
option(MILLRACE_FUZZERS "Build the fuzzers (needs clang)" OFF)

if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "" FORCE)
endif()

set(CMAKE_CXX_STANDARD 23)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

find_program(CCACHE ccache)
if(CCACHE)
  # It keeps what was compiled with a precompiled header only if it may trust in that header's own hash.
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env CCACHE_SLOPPINESS=pch_defines,time_macros ${CCACHE})
  set(CMAKE_C_COMPILER_LAUNCHER ${CCACHE})
endif()

add_compile_options(-Wall -Wextra -Wpedantic -Werror -Wshadow -Wconversion -Wno-sign-conversion
  -Wnon-virtual-dtor -Woverloaded-virtual -Wimplicit-fallthrough -fno-omit-frame-pointer
  -march=${MILLRACE_MARCH}
  # GCC 12 warns of overlapping copies inside std::string at -O3 where there are none (GCC bug 105651).
  $<$<CONFIG:Release>:-Wno-restrict>)
find_program(LLD ld.lld)
if(LLD AND NOT CMAKE_INTERPROCEDURAL_OPTIMIZATION)
  add_link_options(-fuse-ld=lld)  # a tenth of the time; g++'s optimisation at link time needs its own linker
endif()
if(CMAKE_INTERPROCEDURAL_OPTIMIZATION)
  # Warnings are errors where they are found in time; of what the linker inlines GCC 12 finds sizes that cannot be.
  add_link_options(-Wno-alloc-size-larger-than -Wno-stringop-overflow)
endif()
if(CMAKE_CXX_COMPILER_ID MATCHES Clang)
  # Only the fuzzers, the sanitized build and the checks of ./dev lint are made by clang: the warnings that count are g++'s.
  add_compile_options(-w)
endif()
if(MILLRACE_SANITIZE MATCHES address AND CMAKE_CXX_COMPILER_ID MATCHES Clang)
  add_compile_definitions(__SANITIZE_ADDRESS__=1)  # as g++ tells its sources
endif()
if(MILLRACE_SANITIZE)
  add_compile_options(-fsanitize=${MILLRACE_SANITIZE} -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${MILLRACE_SANITIZE})
  if(MILLRACE_SANITIZE MATCHES undefined)
    # Tests carry RTTI, the data plane does not: the vptr check cannot link across the two.
    add_compile_options(-fno-sanitize=vptr)
  endif()
endif()
