package fold

import "strings"

// variants are the forms of a kanji that names are registered with and that people don't type: old forms 旧字体, forms of family registers, popular
// forms. Each word is one group, the form that is searched for first. Characters that are different names are not here (阪 and 坂, 園 and 薗).
var variants = groups(`
高髙 崎﨑嵜﨑 辺邊邉 斉齊斎齋 沢澤 浜濱濵 広廣 国國 島嶋嶌 桜櫻 竜龍龒 滝瀧 浅淺 栄榮 恵惠 円圓 塩鹽 桧檜 関關 岳嶽 峰峯 富冨 吉𠮷 柳栁桺 槙槇
曽曾 真眞 徳德 黒黑 増增 黄黃 青靑 清淸 静靜 館舘 藪薮籔 渕淵渊 条條 寿壽 蔵藏 豊豐 実實 宝寶寳 万萬 与與 礼禮 弥彌 弁辨辯 仏佛 亜亞 壱壹 桑桒 鉄鐵
県縣 芦蘆 芸藝 会會 区區 鴎鷗 桝枡 剣劍劔 巌巖 戸戶 内內 児兒 尭堯 遥遙 凛凜 穂穗 渋澁澀 奥奧 横橫 歩步 頼賴 緑綠 録錄 郎郞 瀬瀨 諫諌 慎愼 鶴靏鸖 絵繪
学學斈 楽樂 気氣 帰歸 亀龜 旧舊 経經 継繼 顕顯 厳嚴 昼晝 収收 従從 将將 乗乘 浄淨 畳疊 尽盡 粋粹 枢樞 摂攝 専專 双雙 荘莊 総總惣 続續 対對 台臺
団團 鎮鎭 伝傳 当當 稲稻 独獨 読讀 売賣 麦麥 発發 秘祕 満滿 訳譯 薬藥 様樣 来來 覧覽 両兩 涼凉 塁壘 霊靈 暦曆 歴歷 恋戀 炉爐 労勞 楼樓 湾灣 巻卷 状狀
寛寬 喜㐂 秋龝 船舩 野埜 橋槗 村邨 松枩 蛍螢 応應 桂 壮壯 図圖 声聲 医醫 価價 画畫 覚覺 勧勸 観觀 旭 挙舉 勲勳 径徑 軽輕 検檢 権權 号號 済濟 剤劑 参參 賛贊
糸絲 歯齒 写寫 釈釋 叙敍 称稱 証證 触觸 嘱囑 図圖 聖 戦戰 禅禪 蔵藏 属屬 帯帶 滞滯 択擇 担擔 胆膽 断斷 遅遲 虫蟲 庁廳 聴聽 転轉 灯燈 党黨 徳德 弐貳 悩惱 拝拜
`)

func groups(text string) map[rune]rune {
	table := map[rune]rune{}
	for group := range strings.FieldsSeq(text) {
		runes := []rune(group)
		for _, r := range runes[1:] {
			if r != runes[0] {
				table[r] = runes[0]
			}
		}
	}
	return table
}
