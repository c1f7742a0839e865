# Build-wide choices. Warnings, hardening and sanitizers live on one INTERFACE target, so that no
# flag is global and third-party headers stay as they are.
option(COUNTERSIGN_WERROR "Warnings are errors" OFF)
option(COUNTERSIGN_FUZZ "Build libFuzzer targets (needs clang)" OFF)
set(COUNTERSIGN_SANITIZE "" CACHE STRING "Value of -fsanitize=, empty for none")

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
set(CMAKE_SKIP_RPATH ON)

add_library(countersign_options INTERFACE)
target_compile_options(countersign_options INTERFACE
  -Wall -Wextra -Wshadow -Wconversion -Wnon-virtual-dtor -Woverloaded-virtual
  $<$<BOOL:${COUNTERSIGN_WERROR}>:-Werror>)
target_compile_definitions(countersign_options INTERFACE _GLIBCXX_ASSERTIONS)
target_link_options(countersign_options INTERFACE -pie -Wl,-z,relro,-z,now)
if(COUNTERSIGN_SANITIZE)
  target_compile_options(countersign_options INTERFACE
    -fsanitize=${COUNTERSIGN_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_link_options(countersign_options INTERFACE -fsanitize=${COUNTERSIGN_SANITIZE})
endif()
if(COUNTERSIGN_SANITIZE MATCHES "thread")
  include_directories(SYSTEM BEFORE ${CMAKE_SOURCE_DIR}/cmake/tsan)
endif()
if(COUNTERSIGN_FUZZ)
  target_compile_options(countersign_options INTERFACE -fsanitize=fuzzer-no-link)
endif()

find_program(COUNTERSIGN_CCACHE ccache)
if(COUNTERSIGN_CCACHE)
  # Precompiled headers: ccache must be told that it may trust them.
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env CCACHE_SLOPPINESS=pch_defines,time_macros ${COUNTERSIGN_CCACHE})
endif()
