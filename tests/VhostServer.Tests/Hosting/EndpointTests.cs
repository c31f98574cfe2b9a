using System.Net.Sockets;
using Paravane.VhostServer.Hosting;
using Paravane.VhostServer.Tests.Support;
using Paravane.VirtioQueues.Linux;

namespace Paravane.VhostServer.Tests.Hosting;

public sealed class EndpointTests : IDisposable
{
    private readonly string _directory = Directory.CreateTempSubdirectory("paravane-").FullName;

    private string SocketPath => Path.Combine(_directory, "s");

    [Fact]
    public void An_inherited_connected_socket_is_served_once()
    {
        (UnixSocket ours, UnixSocket theirs) = UnixSocket.Pair();
        int number = theirs.Number;
        theirs.SetHandleAsInvalid();
        using var device = new EchoDevice();
        using var server = new VhostUserServer(device, new VhostServerOptions { InheritedDescriptor = number });
        server.Start();
        using (var machine = new Machine(new Frontend(ours)))
        {
            using TestRing ring = TestRing.Of(machine).Start();
            ring.Echo(3);
        }

        Wait.Until(() => server.Completion.IsCompletedSuccessfully, "the server has stopped");
    }

    [Fact]
    public void An_inherited_listening_socket_is_served_again_and_again()
    {
        UnixSocket listener = UnixSocket.Listen(SocketPath, 4);
        int number = listener.Number;
        listener.SetHandleAsInvalid();
        using var device = new EchoDevice();
        using var server = new VhostUserServer(device, new VhostServerOptions { InheritedDescriptor = number });
        server.Start();
        for (int i = 0; i < 3; i++)
        {
            using var frontend = new Frontend(UnixSocket.Connect(SocketPath));
            Assert.True(frontend.IsServed());
            frontend.Dispose();
            Wait.Until(() => !server.IsConnected, "the session ends");
        }

        server.Stop();
        Assert.True(File.Exists(SocketPath)); // it belongs to whoever made it
    }

    [Theory]
    [InlineData(AddressFamily.InterNetwork, SocketType.Stream, "is not a UNIX socket")]
    [InlineData(AddressFamily.Unix, SocketType.Dgram, "is not a stream socket")]
    [InlineData(AddressFamily.Unix, SocketType.Stream, "is neither connected nor listening")]
    public void An_inherited_socket_of_another_kind_is_refused_and_left_alone(AddressFamily family, SocketType type, string expected)
    {
        using var socket = new Socket(family, type, ProtocolType.Unspecified);
        int number = (int)socket.Handle;
        using var device = new EchoDevice();
        using var server = new VhostUserServer(device, new VhostServerOptions { InheritedDescriptor = number });
        UsageException failure = Assert.Throws<UsageException>(server.Start);
        Assert.StartsWith($"--fd={number}: {expected}; give ", failure.Message, StringComparison.Ordinal);
        Assert.Equal(type, socket.SocketType);
        Assert.Equal(expected, UnixSocket.FindMisfit(number));
    }

    [Fact]
    public void An_inherited_connection_whose_peer_has_gone_is_no_misuse()
    {
        (UnixSocket ours, UnixSocket theirs) = UnixSocket.Pair();
        using (theirs)
        {
            ours.Dispose();
            Assert.Null(UnixSocket.FindMisfit(theirs.Number));
        }
    }

    [Fact]
    public void A_client_connects_when_somebody_listens_and_comes_back()
    {
        using var device = new EchoDevice();
        using var server = new VhostUserServer(device, new VhostServerOptions { SocketPath = SocketPath, Client = true, RetryInterval = TimeSpan.FromMilliseconds(20) });
        server.Start();
        Thread.Sleep(60);
        for (int i = 0; i < 3; i++)
        {
            using UnixSocket listener = UnixSocket.Listen(SocketPath, 4);
            UnixSocket? connection = null;
            Wait.Until(() => (connection = listener.TryAccept()) is not null, "the server connects");
            using var machine = new Machine(new Frontend(connection!));
            using TestRing ring = TestRing.Of(machine).Start();
            ring.Echo(2);
            listener.Dispose();
            File.Delete(SocketPath);
        }

        server.Stop();
    }

    [Fact]
    public void The_socket_file_goes_with_the_server_and_a_stale_one_is_replaced()
    {
        UnixSocket.Listen(SocketPath, 1).Dispose(); // its process has died
        Assert.True(File.Exists(SocketPath));
        using var device = new EchoDevice();
        using (var server = new VhostUserServer(device, new VhostServerOptions { SocketPath = SocketPath }))
        {
            server.Start();
            using var frontend = new Frontend(UnixSocket.Connect(SocketPath));
            Assert.True(frontend.IsServed());
            using var second = new VhostUserServer(device, new VhostServerOptions { SocketPath = SocketPath });
            Assert.Contains(SocketPath, Assert.Throws<StartException>(second.Start).Message, StringComparison.Ordinal);
            Assert.True(frontend.IsServed());
        }

        Assert.False(File.Exists(SocketPath));
    }

    [Fact]
    public void A_path_that_is_no_socket_or_has_no_directory_is_refused_and_left_alone()
    {
        using var device = new EchoDevice();
        File.WriteAllText(SocketPath, "precious");
        using var onFile = new VhostUserServer(device, new VhostServerOptions { SocketPath = SocketPath });
        Assert.Throws<StartException>(onFile.Start);
        Assert.Equal("precious", File.ReadAllText(SocketPath));
        using var nowhere = new VhostUserServer(device, new VhostServerOptions { SocketPath = Path.Combine(_directory, "no", "s") });
        Assert.Throws<StartException>(nowhere.Start);
        using var longPath = new VhostUserServer(device, new VhostServerOptions { SocketPath = Path.Combine(_directory, new string('x', 100)) });
        Assert.Throws<UsageException>(longPath.Start);
        using var noSocket = new VhostUserServer(device, new VhostServerOptions { InheritedDescriptor = 9999 });
        Assert.Throws<UsageException>(noSocket.Start);
        using var noCpu = new VhostUserServer(device, new VhostServerOptions { SocketPath = SocketPath + "2", Cpus = [1023] });
        Assert.Contains("--cpus=1023", Assert.Throws<StartException>(noCpu.Start).Message, StringComparison.Ordinal);
        Assert.False(File.Exists(SocketPath + "2"));
    }

    [Fact]
    public void A_stop_with_requests_in_flight_waits_for_them_and_removes_the_socket()
    {
        using var device = new EchoDevice();
        using var server = new VhostUserServer(device, new VhostServerOptions { SocketPath = SocketPath, Cpus = [0] });
        server.Start();
        using var machine = new Machine(new Frontend(UnixSocket.Connect(SocketPath)));
        using TestRing ring = TestRing.Of(machine).Start();
        device.IsHolding = true;
        ring.Offer();
        Wait.Until(() => device.Taken == 1, "the request is in flight");
        server.RequestStop();
        Thread.Sleep(50);
        Assert.False(server.Completion.IsCompleted);
        device.IsHolding = false;
        Wait.Until(() => server.Completion.IsCompletedSuccessfully, "the server has stopped");
        ring.Collect();
        Assert.True(machine.Frontend.IsClosed());
        Assert.False(File.Exists(SocketPath));
    }

    public void Dispose() => Directory.Delete(_directory, recursive: true);
}
