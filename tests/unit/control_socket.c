/* SPDX-License-Identifier: BSD-2-Clause */
/* The file of the control socket, and who may connect to it. */
#include "unit/control_bench.h"

#include <sys/stat.h>
#include <sys/wait.h>

#include "unit/said.h"

static void
socket_file(void **state)
{
	struct bench *bench = *state;
	struct stat file;

	assert_int_equal(lstat(bench->path, &file), 0);
	assert_true(S_ISSOCK(file.st_mode));
	assert_int_equal(file.st_mode & 07777, 0600);
	control_close(&bench->control);
	assert_int_equal(lstat(bench->path, &file), -1);
	control_close(&bench->control); /* has no effect */
	/* A file that is no longer the server's own is kept. */
	bench_open(bench);
	unlink(bench->path);
	close(open(bench->path, O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
	control_close(&bench->control);
	assert_int_equal(unlink(bench->path), 0);
}

static const char *
refused(struct bench *bench, const char *path)
{
	static struct said said;
	struct control control;
	int status;

	said_begin(&said);
	status = control_open(&control, &bench->loop, path, commands, bench);
	said_end(&said);
	assert_int_equal(status, -STATUS_IO);
	assert_null(control.path);
	control_close(&control);
	return said.text;
}

static void
existing_files(void **state)
{
	struct bench *bench = *state;
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	char path[128];
	struct stat file;
	int fd;

	/* A live socket. */
	SAID(refused(bench, bench->path), bench->path, " listens on it", "name another");
	settle(bench);
	control_close(&bench->control);
	/* A stale socket. */
	strcpy(address.sun_path, bench->path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	close(fd);
	bench_open(bench);
	fd = client(bench);
	asks(bench, fd, "echo\n", OK);
	close(fd);
	control_close(&bench->control);
	/* Another type of file. */
	close(open(bench->path, O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
	SAID(refused(bench, bench->path), bench->path, "is not a socket", "remove it");
	assert_int_equal(unlink(bench->path), 0);
	assert_int_equal(symlink("/dev/null", bench->path), 0);
	SAID(refused(bench, bench->path), "is not a socket");
	assert_int_equal(unlink(bench->path), 0);
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	SAID(refused(bench, bench->path), bench->path, "wrong type");
	assert_int_equal(lstat(bench->path, &file), 0);
	close(fd);
	unlink(bench->path);

	snprintf(path, sizeof(path), "%s/missing/vm.sock", bench->folder);
	SAID(refused(bench, path), path, "No such file or directory");
	SAID(refused(bench, ""), "the path is empty");
	memset(path, 'x', sizeof(path));
	path[86] = '\0';
	SAID(refused(bench, path), "has a name of more than 85 bytes", "shorter");
}

static void
refused_peers(void **state)
{
	struct bench *bench = *state;
	int status, fd;
	pid_t child;

	assert_true(control_admits(1000, 1000));
	assert_true(control_admits(1000, 0));
	assert_true(control_admits(0, 0));
	assert_false(control_admits(1000, 1001));
	assert_false(control_admits(0, 1000));
	if (geteuid()) /* only root can change its user ID */
		return;
	assert_int_equal(chmod(bench->path, 0666), 0);
	assert_int_equal(chmod(bench->folder, 0711), 0);
	child = fork();
	if (!child) {
		char line[256];

		if (setuid(65534))
			_exit(1);
		fd = try_connect(bench->path);
		fcntl(fd, F_SETFL, 0);
		send(fd, "echo\n", 5, MSG_NOSIGNAL);
		_exit(recv(fd, line, sizeof(line), 0) <= 0 || !strstr(line, "only root"));
	}
	while (!waitpid(child, &status, WNOHANG))
		assert_int_equal(loop_once(&bench->loop, 1), 0);
	assert_int_equal(status, 0);
	assert_int_equal(bench->runs, 0);
	assert_int_equal(bench->control.count, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(socket_file),
		TEST(existing_files),
		TEST(refused_peers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
