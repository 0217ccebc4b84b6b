# C++ flags for this module's objects alone: nginx compiles every file, C and
# C++, with one CFLAGS, so they are added per target.

for ngx_src in $ngx_ai_limit_srcs
do
    ngx_obj=$NGX_OBJS/addon/`basename \`dirname $ngx_src\``
    ngx_obj=$ngx_obj/`basename $ngx_src .cpp`.o

    cat << END                                                >> $NGX_MAKEFILE

$ngx_obj:	CFLAGS += -std=c++17 -O2 -fno-exceptions -fno-rtti \\
	-fvisibility=hidden -fno-threadsafe-statics \\
	-Wall -Wextra -Wno-unused-parameter -Werror -I$ngx_addon_dir/src
END
done
