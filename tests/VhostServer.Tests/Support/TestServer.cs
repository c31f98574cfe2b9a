using Microsoft.Extensions.Logging;
using Paravane.VhostServer.Hosting;
using Paravane.VirtioQueues.Linux;

namespace Paravane.VhostServer.Tests.Support;

/// <summary>A server of one device at a path of its own.</summary>
internal sealed class TestServer : IDisposable
{
    private readonly string _directory = Directory.CreateTempSubdirectory("paravane-").FullName;

    public TestServer(EchoDevice device, Func<VhostServerOptions, VhostServerOptions>? change = null, ILogger? log = null)
    {
        Device = device;
        Path = System.IO.Path.Combine(_directory, "s");
        var options = new VhostServerOptions { SocketPath = Path };
        Server = new VhostUserServer(device, change is null ? options : change(options), log);
        Server.Start();
    }

    public string Path { get; }

    public EchoDevice Device { get; }

    public VhostUserServer Server { get; }

    public Frontend Connect() => new(UnixSocket.Connect(Path));

    /// <summary>Waits until the server is ready for the next front-end.</summary>
    public void WaitForEnd() => Wait.Until(() => !Server.IsConnected, "the session ends");

    public void Dispose()
    {
        Device.IsHolding = false; // or the server would wait for its requests
        Server.Dispose();
        Device.Dispose();
        Directory.Delete(_directory, recursive: true);
    }
}
