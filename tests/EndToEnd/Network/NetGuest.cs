using System.Security.Cryptography;
using Paravane.EndToEnd.Guest;
using Paravane.Peers;

namespace Paravane.EndToEnd.Network;

/// <summary>
/// One guest with three NICs of a ring format, each served by a paravane-net of its own with a tap in a network namespace:
/// one queue pair, two queue pairs, and one with every offload and mergeable buffers declined by the front-end.
/// </summary>
public abstract class NetGuest : IDisposable
{
    /// <summary>Size of the file that is sent in each direction.</summary>
    public const int FileBytes = 24 << 20;

    private const string NoOffloads =
        ",csum=off,gso=off,guest_csum=off,guest_tso4=off,guest_tso6=off,guest_ecn=off,guest_ufo=off," +
        "host_tso4=off,host_tso6=off,host_ecn=off,host_ufo=off,mrg_rxbuf=off";

    private static readonly List<string> s_nics = ["one-pair", "two-pairs", "plain"];

    private readonly TemporaryDirectory _scratch = TemporaryDirectory.Create();
    private readonly List<ChildProcess> _children = [];
    private readonly List<ChildProcess> _servers = [];

    /// <summary>Starts the back-ends, boots, and gives both sides their addresses.</summary>
    protected NetGuest(bool packed)
    {
        IsPacked = packed;
        try
        {
            Host = new NetworkNamespace();
            List<string> devices = [];
            Add(devices, nic: 0, pairs: 1, "");
            Add(devices, nic: 1, pairs: 2, "");
            Add(devices, nic: 2, pairs: 1, NoOffloads);
            WriteFile();
            _children.Add(Host.Start("busybox", "httpd", "-f", "-p", "8000", "-h", _scratch.File("www")));
            Guest = new QemuGuest(_scratch, devices);
            foreach (string nic in s_nics)
            {
                string link = Find(nic);
                Guest.Run($"""
                    echo 0 > /proc/sys/net/ipv6/conf/{link}/accept_dad
                    ip address add {GuestAddress(nic)}/24 dev {link}
                    ip -6 address add {GuestAddress6(nic)}/64 dev {link}
                    ip link set {link} up
                    """);
            }

            Guest.Run($"mkdir /tmp/www; dd if=/dev/urandom of=/tmp/www/file bs=1M count={FileBytes >> 20} 2>/dev/null; httpd -p 8000 -h /tmp/www");
            GuestFileChecksum = Guest.Run("sha256sum /tmp/www/file | cut -d ' ' -f 1");
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>True for packed rings.</summary>
    public bool IsPacked { get; }

    /// <summary>The guest.</summary>
    public QemuGuest Guest { get; } = null!;

    /// <summary>The host's side of the taps.</summary>
    public NetworkNamespace Host { get; } = null!;

    /// <summary>SHA-256 of the file that the host serves at port 8000.</summary>
    public string HostFileChecksum { get; private set; } = "";

    /// <summary>SHA-256 of the file that the guest serves at port 8000.</summary>
    public string GuestFileChecksum { get; } = "";

    /// <summary>Name of the NIC's link in the guest.</summary>
    public string Find(string nic) => Guest.Run($"ls {QemuDevice.Sysfs(s_nics.IndexOf(nic))}/net");

    /// <summary>Name of the tap.</summary>
    public static string Tap(string nic) => $"pv{s_nics.IndexOf(nic)}";

    /// <summary>The host's IPv4 address on the NIC's wire.</summary>
    public static string HostAddress(string nic) => $"10.0.{s_nics.IndexOf(nic)}.1";

    /// <summary>The guest's IPv4 address on the NIC's wire.</summary>
    public static string GuestAddress(string nic) => $"10.0.{s_nics.IndexOf(nic)}.2";

    /// <summary>The host's IPv6 address on the NIC's wire.</summary>
    public static string HostAddress6(string nic) => $"fd00:{s_nics.IndexOf(nic)}::1";

    /// <summary>The guest's IPv6 address on the NIC's wire.</summary>
    public static string GuestAddress6(string nic) => $"fd00:{s_nics.IndexOf(nic)}::2";

    /// <summary>CPU time that all back-ends have used.</summary>
    public TimeSpan CpuTime() => _servers.Aggregate(TimeSpan.Zero, (sum, server) => sum + ProcessUsage.CpuTime(server.ProgramId));

    /// <inheritdoc/>
    public void Dispose()
    {
        Guest?.Dispose();
        foreach (ChildProcess child in (ChildProcess[])[.. _children, .. _servers])
        {
            child.Dispose();
        }

        Host?.Dispose();
        _scratch.Dispose();
        GC.SuppressFinalize(this);
    }

    private void WriteFile()
    {
        byte[] content = new byte[FileBytes];
        Random.Shared.NextBytes(content);
        Directory.CreateDirectory(_scratch.File("www"));
        File.WriteAllBytes(Path.Combine(_scratch.File("www"), "file"), content);
        HostFileChecksum = Convert.ToHexStringLower(SHA256.HashData(content));
    }

    private void Add(List<string> devices, int nic, int pairs, string properties)
    {
        string name = s_nics[nic];
        string socket = _scratch.File(name + ".sock");
        _servers.Add(BackEnd.StartIn(Host, Programs.Net, socket, $"--net=tap:{Tap(name)}", $"--queue-pairs={pairs}"));
        Host.Run($"ip address add {HostAddress(name)}/24 dev {Tap(name)}; ip -6 address add {HostAddress6(name)}/64 dev {Tap(name)} nodad; ip link set {Tap(name)} up");
        devices.AddRange(QemuDevice.Nic(nic, socket, pairs, IsPacked, properties));
    }
}

/// <summary>The guest with split rings.</summary>
public sealed class SplitNetGuest() : NetGuest(packed: false);

/// <summary>The guest with packed rings.</summary>
public sealed class PackedNetGuest() : NetGuest(packed: true);
