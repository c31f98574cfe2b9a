using System.Diagnostics;
using System.Net;
using System.Net.Sockets;

namespace Paravane.Backends.Net.Tests;

/// <summary>A device on a TAP with an address, and the host's sockets behind it. Made and used inside a <see cref="NetworkNamespace"/>.</summary>
internal sealed class TapRig : IDisposable
{
    public const string Name = "pvtest0";

    public static readonly IPAddress HostAddress = IPAddress.Parse("10.77.0.1"), GuestAddress = IPAddress.Parse("10.77.0.2");

    private static readonly TimeSpan s_deadline = TimeSpan.FromSeconds(10);

    private readonly GuestArena _arena = new(256 << 20);

    public TapRig(Rings rings, ulong more = 0, int queuePairs = 1, int size = 256)
    {
        var port = TapPort.Open(Name, queuePairs);
        Device = new NetDevice(port, new NetSettings { QueuePairs = queuePairs, MtuBytes = port.MtuBytes });
        ulong features = rings.ToFeatures() | more | (queuePairs > 1 ? NetFeatures.Mq : 0);
        Pairs = [.. Enumerable.Range(0, queuePairs).Select(pair => new PairRig(Device, features, size, pair, _arena))];
        NetworkNamespace.Ip($"addr add {HostAddress}/24 dev {Name}");
        NetworkNamespace.Ip($"link set {Name} up");
        NetworkNamespace.Ip($"neigh replace {GuestAddress} lladdr {Colons(Packets.GuestMac.GetAddressBytes())} dev {Name} nud permanent");
        HostMac = [.. NetworkNamespace.Ip($"-br link show {Name}").Split(' ', StringSplitOptions.RemoveEmptyEntries)[2].Split(':').Select(part => Convert.ToByte(part, 16))];
    }

    public NetDevice Device { get; }

    public PairRig[] Pairs { get; }

    public GuestArena Arena => _arena;

    public PairRig Pair => Pairs[0];

    /// <summary>The interface's own address.</summary>
    public byte[] HostMac { get; }

    /// <summary>A socket of the host's side.</summary>
    public static Socket Udp(int port)
    {
        var socket = new Socket(AddressFamily.InterNetwork, SocketType.Dgram, ProtocolType.Udp) { ReceiveTimeout = 5000, ReceiveBufferSize = 1 << 20 };
        socket.Bind(new IPEndPoint(HostAddress, port));
        return socket;
    }

    /// <summary>Turns the loops until <paramref name="done"/>, for ten seconds at most.</summary>
    public void RunUntil(Func<bool> done, string what)
    {
        var clock = Stopwatch.StartNew();
        while (!done())
        {
            Assert.True(clock.Elapsed < s_deadline, $"nothing after {s_deadline.TotalSeconds} s: {what}");
            Array.ForEach(Pairs, pair => pair.Run());
            Thread.Yield();
        }
    }

    /// <summary>The next frame that <paramref name="wanted"/> is true for; the host's own chatter (IPv6, multicast) is passed over.</summary>
    public Received Take(Func<byte[], bool> wanted, int pair = 0)
    {
        Received? found = null;
        RunUntil(
            () =>
            {
                while (Pairs[pair].Take() is { } received)
                {
                    if (wanted(received.Frame))
                    {
                        found = received;
                        return true;
                    }
                }

                return false;
            },
            "a frame");
        return found!;
    }

    /// <summary>True for IPv4 UDP datagrams to <paramref name="port"/>.</summary>
    public static Func<byte[], bool> IsUdpTo(int port) => frame =>
        frame.Length >= 42 && frame[12] == 8 && frame[13] == 0 && frame[23] == 17 && ((frame[36] << 8) | frame[37]) == port;

    public void Dispose()
    {
        Array.ForEach(Pairs, pair => pair.Dispose());
        Device.Dispose();
        _arena.Dispose();
    }

    private static string Colons(byte[] mac) => string.Join(':', mac.Select(value => value.ToString("x2", System.Globalization.CultureInfo.InvariantCulture)));
}
