using System.Globalization;
using System.Security.Cryptography;
using Paravane.Peers;

namespace Paravane.EndToEnd.Disk;

/// <summary>A disk's backing file as the host sees it.</summary>
public sealed class DiskImage(string path)
{
    /// <summary>Where it is.</summary>
    public string Location => path;

    /// <summary>Makes a file of random bytes.</summary>
    public static DiskImage CreateRandom(string path, int sizeBytes)
    {
        byte[] content = new byte[sizeBytes];
        Random.Shared.NextBytes(content);
        File.WriteAllBytes(path, content);
        return new DiskImage(path);
    }

    /// <summary>SHA-256 of the whole, as sha256sum prints it.</summary>
    public string Checksum()
    {
        using FileStream stream = File.OpenRead(path);
        return Convert.ToHexStringLower(SHA256.HashData(stream));
    }

    /// <summary>Bytes of a part of it.</summary>
    public byte[] Read(long offset, int lengthBytes)
    {
        using FileStream stream = File.OpenRead(path);
        byte[] content = new byte[lengthBytes];
        stream.Position = offset;
        stream.ReadExactly(content);
        return content;
    }

    /// <summary>Bytes for which the file system here holds blocks.</summary>
    public long AllocatedBytes()
    {
        (int code, string output, _) = ChildProcess.Run("stat", ["--format=%b", path], TimeSpan.FromSeconds(10));
        Assert.True(code == 0, output);
        return long.Parse(output, CultureInfo.InvariantCulture) * 512;
    }

    /// <summary>Checks the ext4 file system inside, and copies its files out to a directory.</summary>
    public void Extract(string directory)
    {
        (int code, _, string transcript) = ChildProcess.Run(Tool.Find("e2fsck"), ["-f", "-n", path], TimeSpan.FromSeconds(60));
        Assert.True(code == 0, transcript);
        Directory.CreateDirectory(directory);
        (code, _, transcript) = ChildProcess.Run(Tool.Find("debugfs"), ["-R", $"rdump / {directory}", path], TimeSpan.FromSeconds(60));
        Assert.True(code == 0, transcript);
    }
}
