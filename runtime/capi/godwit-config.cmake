# find_package(godwit) defines the targets godwit::godwit (shared) and godwit::static.
get_filename_component(_godwit_prefix "${CMAKE_CURRENT_LIST_DIR}/../../.." ABSOLUTE)

if(NOT TARGET godwit::godwit)
  add_library(godwit::godwit SHARED IMPORTED)
  set_target_properties(godwit::godwit PROPERTIES
    INTERFACE_INCLUDE_DIRECTORIES "${_godwit_prefix}/include")
  if(WIN32)
    set_target_properties(godwit::godwit PROPERTIES
      IMPORTED_LOCATION "${_godwit_prefix}/bin/godwit.dll"
      IMPORTED_IMPLIB "${_godwit_prefix}/lib/godwit.dll.lib")
  elseif(APPLE)
    set_target_properties(godwit::godwit PROPERTIES
      IMPORTED_LOCATION "${_godwit_prefix}/lib/libgodwit.dylib")
  else()
    set_target_properties(godwit::godwit PROPERTIES
      IMPORTED_LOCATION "${_godwit_prefix}/lib/libgodwit.so"
      IMPORTED_SONAME "libgodwit.so.0")
  endif()
endif()

if(NOT TARGET godwit::static)
  add_library(godwit::static STATIC IMPORTED)
  if(WIN32)
    set(_godwit_archive "${_godwit_prefix}/lib/godwit.lib")
    set(_godwit_needs ws2_32 userenv ntdll bcrypt d3dcompiler dxgi)
  elseif(APPLE)
    set(_godwit_archive "${_godwit_prefix}/lib/libgodwit.a")
    set(_godwit_needs "-framework Metal" "-framework QuartzCore" "-framework Foundation")
  else()
    set(_godwit_archive "${_godwit_prefix}/lib/libgodwit.a")
    set(_godwit_needs gcc_s pthread m dl)
  endif()
  set_target_properties(godwit::static PROPERTIES
    INTERFACE_INCLUDE_DIRECTORIES "${_godwit_prefix}/include"
    IMPORTED_LOCATION "${_godwit_archive}"
    INTERFACE_LINK_LIBRARIES "${_godwit_needs}")
endif()
set(godwit_FOUND TRUE)
