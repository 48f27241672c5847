/* pool_serve(): in a node it serves and never returns; elsewhere it notes what nodes are to be started with. */
#include <stdlib.h>

#include "host/node.h"
#include "remote/launch.h"
#include "remote/travel.h"

int pool_serve(int argc, char **argv) {
    if (argc < 0) return POOL_EINVAL;
    if (getenv(PP_NODE_VARIABLE)) pp_node_run();
    pp_travel_begin();
    return pp_program_note(argc, argv) ? 0 : POOL_ENOMEM;
}
