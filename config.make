# C++ flags for this module's objects alone: nginx compiles every file, C and
# C++, with one CFLAGS, so they are added per target. With AI_LIMIT_WERROR set,
# as the tests do, a warning is an error. Else it is none, although nginx's own
# flags say -Werror: a newer compiler may warn of more.

ngx_ai_limit_werror=-Wno-error
if [ -n "$AI_LIMIT_WERROR" ]; then
    ngx_ai_limit_werror=-Werror
fi

for ngx_src in $ngx_ai_limit_srcs
do
    ngx_obj=$NGX_OBJS/addon/`basename \`dirname $ngx_src\``
    ngx_obj=$ngx_obj/`basename $ngx_src .cpp`.o

    cat << END                                                >> $NGX_MAKEFILE

$ngx_obj:	CFLAGS += -std=c++17 -O2 -fno-exceptions -fno-rtti \\
	-fvisibility=hidden -fno-threadsafe-statics \\
	-Wall -Wextra -Wno-unused-parameter $ngx_ai_limit_werror \\
	-I$ngx_addon_dir/src -I$NGX_OBJS/addon
END
done

# The page becomes the numbers of its bytes, which the compiler reads like any
# source. The assembler's .incbin would look for the file when the module is
# linked, where link-time optimization is on, and would not find it.

cat << END                                                    >> $NGX_MAKEFILE

$NGX_OBJS/addon/api/page.html.inc:	$ngx_addon_dir/src/nginx/api/page.html
	od -An -v -tu1 $ngx_addon_dir/src/nginx/api/page.html \\
		| sed 's/\([0-9][0-9]*\)/\1,/g' > \$@.new && mv -f \$@.new \$@

$NGX_OBJS/addon/api/api_page.o:	$NGX_OBJS/addon/api/page.html.inc
END

# The scripts that decide in Redis become C++ literals.

ngx_ai_limit_lua=`find $ngx_addon_dir/src/redis/script -name '*.lua' | LC_ALL=C sort | tr '\n' ' '`

cat << END                                                    >> $NGX_MAKEFILE

$NGX_OBJS/addon/script/script.lua.inc:	$ngx_addon_dir/src/redis/script/join.sh \\
	$ngx_ai_limit_lua
	sh $ngx_addon_dir/src/redis/script/join.sh $NGX_OBJS/addon

$NGX_OBJS/addon/script/fair.lua.inc:	$NGX_OBJS/addon/script/script.lua.inc ;

$NGX_OBJS/addon/script/script.o:	$NGX_OBJS/addon/script/script.lua.inc \\
	$NGX_OBJS/addon/script/fair.lua.inc
END
